"""One number of devices of ``tlj bench --scaling``, in a process that begins with so many.

``python -m tlj.benchmark.bench.one_count`` reads what is wanted as JSON from standard input and prints JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.bench.measure import bench, facts_of, static_facts, steppers_of
from tlj.benchmark.bench.request import REFERENCE, setups_of
from tlj.benchmark.command import exit_code

# What a row says of time, which simulated devices say nothing about.
_OF_TIME = (
    *("steps_per_window", "median_s", "p5_s", "p95_s", "window_s", "examples_per_s", "mfu", "relative_time"),
    *("input_wait_share", "input_wait_reason"),
)


def compiled_rows(config: ConfigDict, strategies: str | None) -> dict[str, Any]:
    """Returns what ``bench`` gives, with None for all that would have to be timed.

    Args:
      config: of a run.
      strategies: separated by commas; None takes the config's own.

    Raises:
      InputError: for anything in them that cannot be done.
    """
    setups = setups_of(config, strategies)
    measured = steppers_of(setups)
    full = next(stepper for strategy, _, stepper in measured if strategy == REFERENCE)
    rows = [
        {"strategy": strategy, "phase": index, **static_facts(stepper, full), **dict.fromkeys(_OF_TIME)}
        for strategy, index, stepper in measured
    ]
    return {**facts_of(config, setups), "windows": 0, "rows": rows}


def answer(told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was asked for: what machine this is, or the rows of one number of devices."""
    if told.get("ask") == "machine":
        return {"platform": jax.default_backend(), "device_count": jax.device_count()}
    config = configuration.merge(configuration.default(), told["config"])
    if jax.default_backend() != "cpu":
        return bench(config, told["strategies"], told["windows"])
    rows = compiled_rows(config, told["strategies"])
    # One device of a CPU is as real as it gets, but its row belongs to those of the others.
    return {**rows, "rows": [{**row, "simulated": True} for row in rows["rows"]]}


def main(argv: Sequence[str]) -> None:
    """Reads what is wanted and prints the answer."""
    told = json.load(sys.stdin)
    if "count" in told:
        # Counts for a CPU alone, and only before there are devices.
        jax.config.update("jax_num_cpu_devices", told["count"])
    print(json.dumps(answer(told)), flush=True)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
