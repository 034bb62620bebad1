"""What the training loop costs besides the compiled step: the real loop, less the step alone on one batch."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tlj.benchmark.checkpoint_time import measure_checkpoint
from tlj.benchmark.plan import weightless
from tlj.benchmark.step_path import StepPath
from tlj.benchmark.step_time import spread, what_is_measured
from tlj.benchmark.windows import Stepper
from tlj.errors import InputError
from tlj.freezing.strategies import parse_strategy
from tlj.training.identity import for_devices, run_hash
from tlj.training.loop import train_run
from tlj.training.programs import Programs
from tlj.training.setup import Setup, set_up
from tlj.training.stepping import IN_FLIGHT
from tlj.training.surroundings import StoppedError, Surroundings

SECONDS = 0.5


class _Turns:
    """Windows of the real loop and of the step alone in turns, taken whenever the loop has written enough lines.

    Args:
      stepper: of the step alone.
      windows: of each.
      lines: of metrics in a window of the loop.
    """

    def __init__(self, stepper: Stepper, windows: int, lines: int):
        self.loop: list[float] = []
        self.alone: list[float] = []
        self.shared = Surroundings(on_window=self._on_line)
        self._stepper, self._windows, self._lines = stepper, windows, lines
        self._seen, self._begun_at, self._begin = 0, 0, 0.0

    def _on_line(self, row: Mapping[str, Any]) -> None:
        now, self._seen = time.perf_counter(), self._seen + 1
        if self._seen % self._lines:
            return
        steps = row["step"] - self._begun_at
        # The first window warms up.
        if self._begun_at:
            self.loop.append((now - self._begin) / steps)
            self.alone.append(self._stepper.window(steps))
        if len(self.loop) == self._windows:
            self.shared.stop.set()
        self._begun_at, self._begin = row["step"], time.perf_counter()


def _setup_of(config: ConfigDict, steps: int) -> Setup:
    """The first phase of a config's run, from scratch, with nothing in its loop but steps and lines of metrics.

    A strategy that makes no sense from scratch needs its source.
    """
    resolved, base = weightless(config)
    resolved = for_devices(resolved)
    quiet = {
        "init": "scratch" if "scratch" in parse_strategy(config.strategy).inits else resolved["init"],
        "steps": max(steps, resolved["steps"]),
        "evaluate": {**resolved["evaluate"], "every": 0, "best": False},
        "checkpoint": {**resolved["checkpoint"], "every": 0, "best": 0, "keep": "all"},
        "early_stopping": {**resolved["early_stopping"], "metric": ""},
        "log": {**resolved["log"], "wandb": ""},
    }
    setup = set_up({**resolved, **quiet}, base)
    if setup.training_reader.by_length:
        raise InputError(
            "batches of several lengths, whose steps differ",
            where="config.data.text.batching",
            do="set it to padded for this measurement",
        )
    return dataclasses.replace(setup, phases=setup.phases[:1])


def measure_overhead(config: ConfigDict, windows: int = 5) -> dict[str, Any]:
    """Measures the loop of ``tlj train`` beside its compiled step, window by window in turns.

    A window of the loop is the time between two lines of ``metrics.jsonl``, or more of them where they are close.
    Input, dispatch, waiting, the means of the metrics and the writing of a line are all in it.

    Args:
      config: of a run; no weights are read, and no file stays.
      windows: of each.

    Returns:
      ``device``, ``what`` (the model and the batch), ``steps_per_call``, ``log_every``, ``steps_per_window`` and
      ``windows``; ``loop`` and ``step``, seconds per step (``median_s``, ``p5_s``, ``p95_s``); ``overhead_s`` and
      ``overhead_share``, medians over rounds of the difference; and under ``host`` what ``StepPath.measure`` gives.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    if windows < 1:
        raise InputError(f"{windows} windows", where="--windows", do="write a whole number of at least 1")
    if jax.process_count() > 1:
        raise InputError(f"{jax.process_count()} processes", where="--overhead", do="measure it in one")
    programs = Programs()
    first = _setup_of(config, 1)
    every = first.config["log"]["every"]
    stepper = Stepper(first, first.phases[0], programs)
    lines = math.ceil(stepper.steps_of(SECONDS) / every)
    calls = (windows + 3) * IN_FLIGHT * first.config["steps_per_call"]
    setup = _setup_of(config, max((windows + 1) * lines * every + 1, calls))
    turns = _Turns(stepper, windows, lines)
    shared = dataclasses.replace(turns.shared, programs=programs)
    with tempfile.TemporaryDirectory(prefix="tlj-overhead-") as folder, contextlib.suppress(StoppedError):
        train_run(setup, pathlib.Path(folder) / "run", run_hash(setup.config), shared)
    loop, alone = np.array(turns.loop), np.array(turns.alone)
    return {
        "device": jax.devices()[0].device_kind,
        "what": what_is_measured({"": setup}),
        "steps_per_call": setup.config["steps_per_call"],
        "log_every": every,
        "steps_per_window": lines * every,
        "windows": windows,
        "loop": spread(loop),
        "step": spread(alone),
        "overhead_s": float(np.median(loop - alone)),
        "overhead_share": float(np.median((loop - alone) / loop)),
        "host": StepPath(setup, programs).measure(windows),
    }


def format_overhead(measured: Mapping[str, Any]) -> str:
    """Returns what ``measure_overhead`` measured as text."""
    what, host, held = measured["what"], measured["host"], measured["host"]["held"]
    rest = host["take_call_s"] - host["dispatch_s"]
    rows = [
        ("the loop", _spread(measured["loop"])),
        ("the step alone", _spread(measured["step"])),
        ("overhead", f"{_ms(measured['overhead_s'])}, {measured['overhead_share']:.1%} of the loop"),
        ("host: input", _ms(host["input_s"])),
        ("host: dispatch", _ms(host["dispatch_s"])),
        ("host: rest of take_call", _ms(rest)),
    ]
    waited = "waits for the device" if held["waited"] else "never waits for the device"
    return "\n".join(
        [
            f"{what['model']['family']}, {what['dtype']}, batch {what['global_batch_size']}, {what['devices']} x "
            f"{measured['device']}, steps_per_call {measured['steps_per_call']}",
            *(f"{name:<24} {figure}" for name, figure in rows),
            f"per step: medians over {measured['windows']} windows of {measured['steps_per_window']} steps in turns, "
            f"with a line of metrics every {measured['log_every']}",
            f"the step path {waited}: with the device held up for {held['held_s']:.2f} s, the host handed over "
            f"{held['steps']} steps in {held['host_s'] * 1e3:.1f} ms",
        ]
    )


def _spread(seconds: Mapping[str, float]) -> str:
    return f"{_ms(seconds['median_s'])}  ({_ms(seconds['p5_s'])} to {_ms(seconds['p95_s'])})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def checkpoint_time(config: ConfigDict) -> dict[str, Any]:
    """Returns what ``measure_checkpoint`` measures, on the disk of the workdir or, without one, of temporary files.

    Args:
      config: of a run.
    """
    wanted = pathlib.Path(os.path.expanduser(config.workdir) or tempfile.gettempdir()).absolute()
    return measure_checkpoint(next(place for place in (wanted, *wanted.parents) if place.is_dir()))


def format_checkpoint_time(measured: Mapping[str, Any]) -> str:
    """Returns what ``measure_checkpoint`` measured as text."""
    return (
        f"a checkpoint of {measured['parameters']:,} parameters, {measured['bytes'] / 2**20:,.0f} MiB: blocks the loop "
        f"for {measured['blocked_s']:.3f} s of the {measured['write_s']:.3f} s that it takes, "
        f"{measured['blocked_share']:.1%}"
    )
