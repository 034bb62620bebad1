"""What a stretch of steps needs: batches read ahead, the program for the shape of each, and windows of metrics."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tlj.data.ahead import Ahead
from tlj.freezing.phases import Phase
from tlj.training.clock import Clock
from tlj.training.compiled import shape_key, step_program
from tlj.training.parallel import batch_sharding, put_batch
from tlj.training.programs import Program, Programs
from tlj.training.run_files import MetricsLog
from tlj.training.setup import Setup
from tlj.training.state import TrainState

INPUT_WAIT = "input_wait"


def batches_from(setup: Setup, step: int) -> Ahead:
    """Returns the training batches from a step on, on the devices, two of them read ahead where reading takes time."""
    sharding, reader = batch_sharding(setup.mesh), setup.training_reader
    return Ahead(
        setup.batches,
        step,
        lambda batch: put_batch(batch, sharding),
        # What is in memory is not worth sending to another process.
        workers=0 if reader.in_memory else setup.config["data"]["workers"],
        threaded=not reader.in_memory,
    )


class StepPrograms:
    """The compiled steps of a phase: one for each shape of batch, compiled when the first such batch comes.

    Attributes:
      compile_s: seconds of compilation, out of every window; what another run has compiled costs nothing.

    Args:
      setup: of the run.
      phase: of the run.
      programs: compiled programs to share.
      clock: of the run.
    """

    def __init__(self, setup: Setup, phase: Phase, programs: Programs, clock: Clock):
        self.compile_s = 0.0
        self._setup, self._phase, self._programs, self._clock = setup, phase, programs, clock
        self._known: dict[tuple[Any, ...], Program] = {}

    def of(self, batch: dict[str, jax.Array], state: TrainState) -> Program:
        """Returns the program that takes a batch.

        Args:
          batch: the next one.
          state: the one that the steps so far lead to.
        """
        key = shape_key(batch)
        if key not in self._known:
            # What the device still does belongs to the window, and must not hide behind the compiler.
            jax.block_until_ready(state)
            with self._clock.pause("compile"):
                self._known[key], compiled = step_program(self._setup, self._phase, self._programs, batch)
            self.compile_s += self._known[key].compile_s if compiled else 0.0
        return self._known[key]


class Window:
    """The metrics of the steps since the last line of ``metrics.jsonl``.

    Args:
      clock: of the run.
      phase: its number.
    """

    def __init__(self, clock: Clock, phase: int):
        self._clock, self._phase = clock, phase
        self._begin()

    def _begin(self) -> None:
        self._pending: list[dict[str, Any]] = []
        self._waited = self._clock.charged[INPUT_WAIT]

    def add(self, metrics: dict[str, Any]) -> None:
        """Takes in the metrics of one step, which may still be under way."""
        self._pending.append(metrics)

    def end(self, step: int, state: TrainState, log: MetricsLog) -> None:
        """Waits for the device and writes a line: means over the window, its time, and the share spent on waiting."""
        jax.block_until_ready(state)
        step_s, steps = self._clock.end(len(self._pending)), len(self._pending)
        waited = self._clock.charged[INPUT_WAIT] - self._waited
        timing = {"step_s": step_s, "input_wait_share": waited / (step_s * steps) if step_s else 0.0}
        with self._clock.pause("logging"):
            log.write({"step": step, "phase": self._phase, **_means(self._pending), "timing": timing})
        self._begin()


def _means(pending: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each metric over the steps of a window, and the learning rates of its last."""
    rows = jax.device_get(pending)
    names = [name for name in rows[0] if name != "learning_rate"]
    means = {name: float(np.mean([row[name] for row in rows], dtype=np.float64)) for name in names}
    return {**means, "learning_rate": {name: float(rate) for name, rate in rows[-1]["learning_rate"].items()}}
