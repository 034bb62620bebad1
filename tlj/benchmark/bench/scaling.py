"""The same run on growing numbers of devices, each in a process of its own, because a process has what it began with.

On a CPU the devices are simulated: programs are compiled for them and not timed. GPUs are taken from those that are
visible, the first so many.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.bench.request import parse_strategies
from tlj.benchmark.children import ask, own_command, own_environment
from tlj.errors import InputError

FLAG, _CHILD = "--scaling", "tlj.benchmark.bench.one_count"
_SIMULATED = re.compile(r"--xla_force_host_platform_device_count=\d+")


def bench_scaling(
    config: ConfigDict, counts: Sequence[int], strategies: str | None = None, windows: int = 5
) -> dict[str, Any]:
    """Measures a run on several numbers of devices, every device having the same share of the batch (weak scaling).

    Args:
      config: of a run; its batch is that of the first count.
      counts: numbers of devices.
      strategies: separated by commas; None takes the config's own.
      windows: of each program, where devices are real.

    Returns:
      As ``bench``, with ``batch_per_device``, the rows of all counts, and in each ``weak_scaling``: examples per second
      and device, by those of the first count; None on simulated devices, as is everything that was timed.

    Raises:
      InputError: for anything that cannot be done.
    """
    if jax.distributed.is_initialized():
        raise InputError("several processes", where=FLAG, do="measure it from one, or run each size by itself")
    parse_strategies(strategies, config.strategy)
    each = batch_per_device(config, counts[0])
    config = configuration.merge(config, {"parallel": {"batch_per_device": each}})
    machine = ask(own_command(_CHILD), told={"ask": "machine"}, environment=own_environment())
    parts = []
    for count in counts:
        environment = environment_for(count, machine, os.environ)
        told = {"config": configuration.to_dict(config), "strategies": strategies, "windows": windows, "count": count}
        parts.append(ask(own_command(_CHILD), told=told, environment={**own_environment(), **environment}))
    rows = with_efficiency([row for part in parts for row in part["rows"]], counts[0])
    return {**parts[0], "device_count": max(counts), "batch_per_device": each, "rows": rows}


def batch_per_device(config: ConfigDict, first: int) -> int:
    """Returns the examples of each device: as the config says, or its global batch over the first number of devices.

    Raises:
      InputError: where that does not divide.
    """
    if config.parallel.batch_per_device:
        return config.parallel.batch_per_device
    if config.global_batch_size % first:
        what = f"a batch of {config.global_batch_size} does not divide over {first} devices"
        raise InputError(what, where=FLAG, do=f"set config.global_batch_size to a multiple of {first}")
    return config.global_batch_size // first


def environment_for(count: int, machine: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what the environment of a process must say for it to have so many devices.

    Args:
      count: of devices.
      machine: ``platform`` and ``device_count`` of a process that is told nothing.
      environment: of this process.

    Raises:
      InputError: where there are fewer, or they cannot be told apart.
    """
    platform, there = machine["platform"], machine["device_count"]
    if platform == "cpu":
        # The child says how many it wants in another way, and JAX takes only one of the two.
        flags = _SIMULATED.sub("", environment.get("XLA_FLAGS", ""))
        return {"XLA_FLAGS": flags} if "XLA_FLAGS" in environment else {}
    if count > there:
        raise InputError(f"{count} devices, of which there are {there}", where=FLAG, do=f"ask for at most {there}")
    if count == there:
        return {}
    if platform not in ("gpu", "cuda"):
        what = f"{count} of {there} devices of a {platform} cannot be taken alone"
        raise InputError(what, where=FLAG, do=f"ask for {there}, or see `tlj plan --topology` for other sizes")
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if "CUDA_VISIBLE_DEVICES" in environment else None
    return {"CUDA_VISIBLE_DEVICES": ",".join((visible or [str(number) for number in range(there)])[:count])}


def with_efficiency(rows: Sequence[Mapping[str, Any]], first: int) -> list[dict[str, Any]]:
    """Returns rows with ``weak_scaling``: examples/s per device, by that of the same phase on the first count.

    Args:
      rows: of all counts.
      first: the count that the others are related to.
    """

    def per_device(row: Mapping[str, Any]) -> float | None:
        return row["examples_per_s"] / row["devices"] if row["examples_per_s"] is not None else None

    base = {(row["strategy"], row["phase"]): per_device(row) for row in rows if row["devices"] == first}
    known = [(row, per_device(row), base.get((row["strategy"], row["phase"]))) for row in rows]
    return [{**row, "weak_scaling": mine / one if mine and one else None} for row, mine, one in known]
