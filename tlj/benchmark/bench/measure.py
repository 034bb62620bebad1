"""What strategies cost on this machine: the step time of each phase beside its FLOPs, relative to ``full``."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.bench.input_wait import InputWait, input_wait
from tlj.benchmark.bench.program_facts import program_facts
from tlj.benchmark.bench.request import REFERENCE, setups_by_batch
from tlj.benchmark.bench.traces import write_trace
from tlj.benchmark.facts import measured_on
from tlj.benchmark.peaks import flops_utilisation
from tlj.benchmark.step_time import spread, what_is_measured
from tlj.benchmark.windows import Stepper, Windows, take_turns
from tlj.errors import InputError
from tlj.training.manifest import start_of
from tlj.training.programs import Programs
from tlj.training.setup import Setup

# A shorter window of fast steps would be mostly the clock and the call.
SECONDS = 0.5

Measured = list[tuple[str, int, Stepper]]


def bench(
    config: ConfigDict,
    strategies: str | None = None,
    windows: int = 5,
    batches: tuple[int, ...] = (),
    traces: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Measures the step of every phase of some strategies, and that of ``full`` beside them, at every batch.

    Programs take turns, window by window. The time relative to ``full`` is the median over rounds of a window divided
    by that of ``full`` in the same round, so that a machine that is slow for a while is slow for both.

    Args:
      config: of a run; no weights are read.
      strategies: separated by commas; None takes the config's own.
      windows: of each program.
      batches: global batches; none is the config's own.
      traces: a new folder for a trace of each program, or None.

    Returns:
      What ``facts_of`` gives and ``rows``, one per batch, strategy and phase: strategy, phase, start_rule, devices,
      simulated (a CPU stands for several devices), batch, steps_per_window, median_s, p5_s, p95_s, window_s (seconds
      per step, by window), examples_per_s, mfu (of the device's bfloat16 peak; None where that is not known), flops,
      relative_flops (by the compiler's cost analysis), relative_time, compile_s, peak_bytes (per device),
      from_depth (of a step that starts from cached activations), input_wait_share and input_wait_reason (of the loop
      with the config's own data; why it is None), and what ``program_facts`` gives.

    Raises:
      InputError: for anything in the config or the strategies that cannot be done, before anything is compiled.
    """
    if windows < 1:
        raise InputError(f"{windows} windows", where="--windows", do="write a whole number of at least 1")
    by_batch = setups_by_batch(config, strategies, batches)
    rows = [row for setups in by_batch.values() for row in _rows_of_batch(setups, windows, traces)]
    return {**facts_of(config, next(iter(by_batch.values()))), "windows": windows, "rows": rows}


def facts_of(config: ConfigDict, setups: Mapping[str, Setup]) -> dict[str, Any]:
    """Returns where, when and with what something was measured, and ``what``: the model, its type and the batch.

    Args:
      config: of the run; its digest tells it from another, wherever its files lie.
      setups: by strategy.
    """
    digest = configuration.digest({**configuration.to_dict(config), "workdir": ""})
    return {**measured_on(), "config_digest": digest, "what": what_is_measured(setups)}


def steppers_of(setups: Mapping[str, Setup]) -> Measured:
    """Returns the step of every phase of every strategy, compiled; those of one shape share a program."""
    programs = Programs()
    return [
        (strategy, index, Stepper(setup, phase, programs))
        for strategy, setup in setups.items()
        for index, phase in enumerate(setup.phases)
    ]


def _rows_of_batch(setups: Mapping[str, Setup], windows: int, traces: pathlib.Path | None) -> list[dict[str, Any]]:
    measured = steppers_of(setups)
    different = {id(stepper.program): stepper for _, _, stepper in measured}
    timed = dict(zip(different, take_turns(list(different.values()), windows, SECONDS), strict=True))
    waits = {
        program: input_wait(stepper.setup, stepper.phase, stepper.programs) for program, stepper in different.items()
    }
    full = next(stepper for strategy, _, stepper in measured if strategy == REFERENCE)
    if traces is not None:
        for strategy, index, stepper in measured:
            write_trace(stepper, traces, strategy, index)
    return [
        {"strategy": strategy, "phase": index, **static_facts(stepper, full), **_times(stepper, full, timed, waits)}
        for strategy, index, stepper in measured
    ]


def static_facts(stepper: Stepper, full: Stepper) -> dict[str, Any]:
    """Returns what of a row the compiler alone knows.

    Args:
      stepper: of the row.
      full: of the reference.
    """
    program, devices = stepper.program, stepper.setup.mesh.size
    return {
        "start_rule": start_of(stepper.phase)["start_rule"],
        "devices": devices,
        "simulated": jax.default_backend() == "cpu" and jax.local_device_count() > 1,
        "batch": stepper.setup.config["global_batch_size"],
        "flops": program.flops,
        "relative_flops": program.flops / full.program.flops,
        "compile_s": program.compile_s,
        "peak_bytes": program.peak_bytes,
        **({"from_depth": stepper.setup.cached.depth} if stepper.setup.cached else {}),
        **program_facts(program),
    }


def _times(
    stepper: Stepper, full: Stepper, timed: Mapping[int, Windows], waits: Mapping[int, InputWait]
) -> dict[str, Any]:
    program, devices = stepper.program, stepper.setup.mesh.size
    windows, reference = timed[id(program)], timed[id(full.program)]
    batch, kind = stepper.setup.config["global_batch_size"], jax.devices()[0].device_kind
    figures, wait = spread(windows.seconds), waits[id(program)]
    return {
        "steps_per_window": windows.steps,
        **figures,
        "window_s": windows.seconds.tolist(),
        "examples_per_s": batch / figures["median_s"],
        "mfu": flops_utilisation(program.flops, figures["median_s"], devices, kind),
        "relative_time": float(np.median(windows.seconds / reference.seconds)),
        "input_wait_share": wait.share,
        "input_wait_reason": wait.reason,
    }
