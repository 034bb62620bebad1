"""What strategies cost on this machine: the step time of each phase beside its FLOPs, relative to ``full``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import tlj
from tlj.benchmark.peaks import flops_utilisation
from tlj.benchmark.plan import weightless
from tlj.benchmark.step_time import spread, what_is_measured
from tlj.benchmark.windows import Stepper, Windows, take_turns
from tlj.errors import InputError
from tlj.freezing.strategies import parse_strategy
from tlj.training.manifest import PACKAGES, start_of
from tlj.training.programs import Programs
from tlj.training.setup import Setup, set_up

REFERENCE, WHERE = "full", "--strategies"
# A shorter window of fast steps would be mostly the clock and the call.
SECONDS = 0.5


def parse_strategies(text: str | None, own: str) -> tuple[str, ...]:
    """Returns the strategies in a comma-separated list, each once.

    Args:
      text: for example ``"linear_probe,last_blocks:1"``; None takes the config's own strategy and ``full``.
      own: the config's own strategy.

    Raises:
      InputError: for an empty list or an unknown strategy.
    """
    if text is None:
        return tuple(dict.fromkeys([own, REFERENCE]))
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError("no strategy", where=WHERE, do=f"write for example {WHERE}=linear_probe,full")
    for name in names:
        parse_strategy(name, where=WHERE)
    return names


def _setups(config: ConfigDict, strategies: str | None) -> dict[str, Setup]:
    """The setup of each strategy, and of the reference after them where it is none of them."""
    resolved, base = weightless(config)
    setups = {}
    try:
        for strategy in parse_strategies(strategies, config.strategy):
            rules = resolved["rules"] if strategy.partition("+")[0] == "rules" else []
            changes = {"strategy": strategy, "init": "", "rules": rules}
            setups[strategy] = set_up({**resolved, **changes}, base, needs_source=False)
    except InputError as error:
        if strategies is None or error.where != "config.strategy":
            raise
        # A strategy that the model or the run cannot take was not named in the config.
        raise InputError(error.what, where=WHERE, nearest=error.nearest, do=error.do) from error
    if REFERENCE not in setups:
        # Settings of groups belong to the strategies that were asked for.
        plain = {**resolved, "strategy": REFERENCE, "init": "", "rules": [], "groups": {}}
        setups[REFERENCE] = set_up(plain, base, needs_source=False)
    return setups


def bench(config: ConfigDict, strategies: str | None = None, windows: int = 5) -> dict[str, Any]:
    """Measures the step of every phase of some strategies, and that of ``full`` beside them.

    Programs take turns, window by window. The time relative to ``full`` is the median over rounds of a window divided
    by that of ``full`` in the same round, so that a machine that is slow for a while is slow for both.

    Args:
      config: of a run; no weights are read.
      strategies: separated by commas; None takes the config's own.
      windows: of each program.

    Returns:
      ``device``, ``what`` (the model and the batch), ``versions`` and ``rows``, one per strategy and phase: strategy,
      phase, start_rule, devices, batch, steps_per_window, median_s, p5_s, p95_s, examples_per_s, mfu (of the device's
      bfloat16 peak; None where that is not known), relative_flops (by the compiler's cost analysis), relative_time,
      compile_s, peak_bytes (per device) and, of a step that starts from cached activations, from_depth.

    Raises:
      InputError: for anything in the config or the strategies that cannot be done, before anything is compiled.
    """
    if windows < 1:
        raise InputError(f"{windows} windows", where="--windows", do="write a whole number of at least 1")
    setups, programs = _setups(config, strategies), Programs()
    measured = [
        (strategy, index, Stepper(setup, phase, programs))
        for strategy, setup in setups.items()
        for index, phase in enumerate(setup.phases)
    ]
    different = {id(stepper.program): stepper for _, _, stepper in measured}
    timed = dict(zip(different, take_turns(list(different.values()), windows, SECONDS), strict=True))
    full = next(stepper for strategy, _, stepper in measured if strategy == REFERENCE)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "device": jax.devices()[0].device_kind,
        "what": what_is_measured(setups),
        "versions": {"tlj": tlj.__version__, **versions},
        "windows": windows,
        "rows": [
            {"strategy": strategy, "phase": index, **_row(stepper, full, timed)}
            for strategy, index, stepper in measured
        ],
    }


def _row(stepper: Stepper, full: Stepper, timed: Mapping[int, Windows]) -> dict[str, Any]:
    program, devices = stepper.program, stepper.setup.mesh.size
    windows, reference = timed[id(program)], timed[id(full.program)]
    batch, kind = stepper.setup.config["global_batch_size"], jax.devices()[0].device_kind
    figures = spread(windows.seconds)
    return {
        "start_rule": start_of(stepper.phase)["start_rule"],
        "devices": devices,
        "batch": batch,
        "steps_per_window": windows.steps,
        **figures,
        "examples_per_s": batch / figures["median_s"],
        "mfu": flops_utilisation(program.flops, figures["median_s"], devices, kind),
        "relative_flops": program.flops / full.program.flops,
        "relative_time": float(np.median(windows.seconds / reference.seconds)),
        "compile_s": program.compile_s,
        "peak_bytes": program.peak_bytes,
        **({"from_depth": stepper.setup.cached.depth} if stepper.setup.cached else {}),
    }


COLUMNS = {
    "strategy": "strategy",
    "phase": "phase",
    "step": "median_s",
    "p5 to p95": "p5_s",
    "examples/s": "examples_per_s",
    "time": "relative_time",
    "FLOPs": "relative_flops",
    "MFU": "mfu",
    "compile": "compile_s",
    "memory": "peak_bytes",
}


def _cell(name: str, row: Mapping[str, Any]) -> str:
    value = row[name]
    if value is None:
        return "-"
    match name:
        case "p5_s":
            return f"{_milliseconds(value)} to {_milliseconds(row['p95_s'])} ms"
        case "median_s":
            return f"{_milliseconds(value)} ms"
        case "examples_per_s":
            return f"{value:,.1f}"
        case "relative_time" | "relative_flops":
            return f"{value:.3f}"
        case "mfu":
            return f"{value:.1%}"
        case "compile_s":
            return f"{value:.1f} s"
        case "peak_bytes":
            return f"{value / 2**20:,.0f} MiB"
    return str(value)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def format_bench(measured: Mapping[str, Any]) -> str:
    """Returns measurements as text: a table, and how to read it."""
    what, rows = measured["what"], measured["rows"]
    cells = [tuple(COLUMNS), *(tuple(_cell(name, row) for name in COLUMNS.values()) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    shortest = min(row["steps_per_window"] for row in rows)
    return "\n".join(
        [
            f"{what['model']['family']}, {what['dtype']}, batch {what['global_batch_size']}, "
            f"{what['devices']} x {measured['device']}",
            *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells),
            f"step: median over {measured['windows']} windows of at least {shortest} steps; memory: per device",
            f"time, FLOPs: relative to {REFERENCE}; of time the median over rounds, each a window by the one of "
            f"{REFERENCE} in the same round, because the speed of a machine changes",
        ]
    )
