"""How soon a run reaches its first step, the first time and again: real processes of ``tlj train``, an empty cache.

    python -m tlj.benchmark.start_time --config=configs/step_time.py:vit_s16 [--config.a.b=value ...]

prints both starts, their parts and their ratio. A config whose source is yet to be trained needs
``--config.init=scratch --config.model.source=``.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from tlj.data.cache import VARIABLE

_JAX_CACHE = "JAX_COMPILATION_CACHE_DIR"


def start_times(words: Sequence[str], starts: int = 2) -> list[dict[str, Any]]:
    """Starts the same run anew several times, each with what the ones before have kept and a workdir of its own.

    Args:
      words: of ``tlj train``, without ``--workdir``.
      starts: how many; the first finds nothing kept.

    Returns:
      For each start: ``reached`` (seconds from the start of the process to the first step), ``parts`` (of it, by name),
      ``done`` (to the end of the first step) and ``programs`` (how many were compiled or read by then).

    Raises:
      RuntimeError: with the last line that it printed, where a start ends without a step.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != _JAX_CACHE}
        environment[VARIABLE] = str(pathlib.Path(folder) / "cache")
        return [_start(words, str(pathlib.Path(folder) / f"run{start}"), environment) for start in range(starts)]


def _start(words: Sequence[str], workdir: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tlj.benchmark.first_step", str(time.time()), workdir, *words]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    if finished.returncode or not finished.stdout:
        raise RuntimeError((finished.stderr.strip().splitlines() or ["nothing was printed"])[-1])
    return json.loads(finished.stdout.splitlines()[-1])


def format_start_times(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Returns two starts as aligned text, with how many times sooner the second is."""
    rows = [(name, first["parts"].get(name, 0.0), second["parts"].get(name, 0.0)) for name in first["parts"]]
    lines = [f"{'':30}{'first':>10}{'second':>10}", *(f"{name:30}{a:8.2f} s{b:8.2f} s" for name, a, b in rows)]
    for what, key in (("first step reached", "reached"), ("first step done", "done")):
        a, b = first[key], second[key]
        lines.append(f"{what:30}{a:8.2f} s{b:8.2f} s   {a / b:.2f} times sooner")
    return "\n".join(lines)


if __name__ == "__main__":
    print(format_start_times(*start_times(sys.argv[1:])))
