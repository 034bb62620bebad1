"""One ``tlj train`` up to its first step: when it was reached, when it was done, and what the time went into.

``python -m tlj.benchmark.first_step BEGIN WORKDIR [WORDS OF tlj train ...]`` runs the verb as a user's process does,
prints JSON when the first line of ``metrics.jsonl`` is there, and ends. BEGIN is when the process was started, by
``time.time``.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import sys
import threading
import time

_PARTS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "tracing",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
# A step of the smallest model takes longer.
_POLL_S = 0.001


class Watch:
    """Adds up what JAX says its time goes into, and ends the process at the first step.

    Args:
      begin: of the process, by ``time.time``.
      log: ``metrics.jsonl`` of the run.
    """

    def __init__(self, begin: float, log: pathlib.Path):
        self._begin, self._log = begin, log
        self._parts: collections.Counter[str] = collections.Counter()
        self._programs, self._compiled = 0, begin

    def listen(self) -> None:
        """Takes in every event of JAX from here on; what it took to import JAX is what there was before."""
        from jax import monitoring

        monitoring.register_event_duration_secs_listener(self._on_event)

    def imported(self) -> None:
        """Notes that all that training needs has been imported."""
        self._parts["imports"] = time.time() - self._begin

    def _on_event(self, event: str, duration: float, **_: object) -> None:
        part = _PARTS.get(event)
        if part:
            self._parts[part] += duration
        if part == "compiling":
            self._programs, self._compiled = self._programs + 1, time.time()

    def wait(self) -> None:
        """Waits for the first line of the log, prints what was measured, and ends the process."""
        while not (self._log.exists() and self._log.stat().st_size):
            time.sleep(_POLL_S)
        done = time.time()
        # The step is the last program that is compiled before the first step.
        reached = self._compiled - self._begin
        parts = {**self._parts, "data, set-up, initial values": reached - sum(self._parts.values())}
        measured = {"parts": parts, "reached": reached, "done": done - self._begin, "programs": self._programs}
        print(json.dumps(measured), flush=True)
        os._exit(0)


def main(begin: float, workdir: str, words: list[str]) -> int:
    """Runs ``tlj train`` until its first step.

    Args:
      begin: of the process, by ``time.time``.
      workdir: of the run, new.
      words: what else is said on the command line.

    Returns:
      The exit code of ``tlj train``, where it ends without a step.
    """
    watch = Watch(begin, pathlib.Path(workdir) / "metrics.jsonl")
    threading.Thread(target=watch.wait, daemon=True).start()
    from tlj.cli import main as run_verb

    watch.listen()
    import tlj.experiments.compare  # noqa: F401  what the verb imports when it begins

    watch.imported()
    # A window of one step is written as soon as the step is done.
    return run_verb(["train", *words, f"--workdir={workdir}", "--config.log.every=1"])


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
