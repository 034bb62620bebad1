"""Step time, measured alone on the machine: windows of steps on one batch, programs taking turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import describe_model
from tlj.training.clock import SHORTEST_WINDOW
from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.parallel import batch_sharding, put_batch
from tlj.training.programs import Program, Programs
from tlj.training.setup import Setup

WINDOWS = 5


class _Stepper:
    """One arm's compiled step, its state and a batch, ready to be timed."""

    def __init__(self, setup: Setup, program: Program, programs: Programs):
        phase, seed = setup.phases[0], setup.config["seed"]
        # Every init is as fast as scratch, which needs no source to be read.
        variables, _ = initial_variables("scratch", setup.spec, None, seed)
        self._state = initial_state(setup, phase, variables, programs)
        examples = np.resize(setup.split.train, setup.config["global_batch_size"])
        self._batch = put_batch(setup.source.batch(examples), batch_sharding(setup.mesh))
        self._call, self._rng = program.call, run_keys(seed)

    def window(self, steps: int) -> float:
        """Runs steps, waits for the device once at the end, and returns seconds per step."""
        begin = time.perf_counter()
        for _ in range(steps):
            self._state, _ = self._call(self._state, self._batch, self._rng)
        jax.block_until_ready(self._state)
        return (time.perf_counter() - begin) / steps


def what_is_measured(setups: Mapping[str, Setup]) -> dict[str, Any]:
    """Returns what step times depend on besides the arm: the device, the model, its type and the batch.

    Args:
      setups: by arm; all of one model.
    """
    setup = next(iter(setups.values()))
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "model": describe_model(setup.spec, setup.preprocessing),
        "dtype": setup.dtype,
        "global_batch_size": setup.config["global_batch_size"],
    }


def measure_step_times(setups: Mapping[str, Setup], programs: Programs) -> dict[str, Any]:
    """Measures the median step time of each arm, without input, evaluation, checkpoints or compilation.

    Arms that run the same program are measured once. Programs take turns, window by window, so that a machine that
    slows down slows all of them.

    Args:
      setups: by arm; the last phase's step is not measured, the first's is.
      programs: compiled programs to share.

    Returns:
      The content of ``step_time.json``: device, devices, and per arm median, 5th and 95th percentile in seconds.
    """
    compiled = {arm: step_program(setup, setup.phases[0], programs)[0] for arm, setup in setups.items()}
    steppers = {id(program): _Stepper(setups[arm], program, programs) for arm, program in compiled.items()}
    windows: dict[int, list[float]] = {program: [] for program in steppers}
    for stepper in steppers.values():
        stepper.window(2)
    for _ in range(WINDOWS):
        for program, stepper in steppers.items():
            windows[program].append(stepper.window(SHORTEST_WINDOW))

    def row(program: Program) -> dict[str, float | int]:
        low, median, high = np.percentile(windows[id(program)], (5, 50, 95))
        return {"median_s": float(median), "p5_s": float(low), "p95_s": float(high),
                "windows": WINDOWS, "steps_per_window": SHORTEST_WINDOW}  # fmt: skip

    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "what": what_is_measured(setups),
        "arms": {arm: row(program) for arm, program in compiled.items()},
    }
