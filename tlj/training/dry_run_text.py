"""What a dry run found, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.training.manifest import format_label_table

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_dry_run(name: str, found: Mapping[str, Any]) -> str:
    """Returns what ``dry_run`` found as text.

    Args:
      name: of the run, or of the arm.
      found: as it returned it.
    """
    devices, mesh = found["devices"], ", ".join(f"{axis} {size}" for axis, size in found["mesh"].items())
    processes = f" in {devices['processes']} processes" if devices["processes"] > 1 else ""
    batch = ", ".join(f"{key} {_array(array)}" for key, array in found["batch"].items())
    lines = [
        f"{name}: {found['load']}",
        f"devices: {devices['count']} x {devices['kind']}{processes}; mesh: {mesh}; {found['mode']}",
        f"batch: {batch}",
    ]
    for index, phase in enumerate(found["phases"]):
        lines += _phase(index, phase)
    lines.append("biggest leaves of the state:")
    lines += [f"  {leaf['path']}  {_array(leaf)}  {in_bytes(leaf['bytes'])}{_spread(leaf)}" for leaf in found["leaves"]]
    return "\n".join([*lines, _numbers(f"{found['steps']} steps", found["training"]),
                      _numbers("validation", found["validation"])])  # fmt: skip


def _phase(index: int, phase: Mapping[str, Any]) -> list[str]:
    state = ", ".join(f"{name} {in_bytes(size)}" for name, size in phase["state_bytes"].items() if size)
    peak = "unknown" if phase["peak_bytes"] is None else in_bytes(phase["peak_bytes"])
    return [
        f"phase {index}, from {phase['start_rule']}: {phase['flops']:.3g} FLOPs per step, compiled in "
        f"{phase['compile_s']:.1f} s; memory of each device {peak}, of it {state}",
        format_label_table(phase["groups"]),
    ]


def _array(array: Mapping[str, Any]) -> str:
    return f"{array['dtype']}[{', '.join(map(str, array['shape']))}]"


def _spread(leaf: Mapping[str, Any]) -> str:
    return f" of each device, over {', '.join(map(str, leaf['sharding']))}" if leaf["sharding"] else ""


def _numbers(what: str, metrics: Mapping[str, Any]) -> str:
    shown = [f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float)]
    return f"{what}: {', '.join(shown)}{_not_finite(metrics.get('rejected', ()))}"


def _not_finite(rejected: Sequence[int]) -> str:
    return f"; not finite at step {', '.join(map(str, rejected))}" if rejected else ""


def in_bytes(count: float) -> str:
    """Returns a number of bytes in the unit that suits it."""
    place = 0
    while count >= 1024 and place < len(_UNITS) - 1:
        count, place = count / 1024, place + 1
    return f"{count:,.0f} {_UNITS[place]}" if place == 0 else f"{count:,.1f} {_UNITS[place]}"
