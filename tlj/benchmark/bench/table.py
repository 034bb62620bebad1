"""Measurements as a table on the screen, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.benchmark.bench.request import REFERENCE

COLUMNS = {
    "strategy": "strategy",
    "phase": "phase",
    "devices": "devices",
    "batch": "batch",
    "step": "median_s",
    "p5 to p95": "p5_s",
    "examples/s": "examples_per_s",
    "efficiency": "weak_scaling",
    "time": "relative_time",
    "FLOPs": "relative_flops",
    "FLOPs/device": "flops_per_device",
    "MFU": "mfu",
    "input": "input_wait_share",
    "compile": "compile_s",
    "memory": "peak_bytes",
    "reductions": "reductions",
    "reduced": "reduced_bytes",
    "instructions": "instructions",
}
# What the columns say of devices is worth a place where there are several.
_OF_DEVICES = ("devices", "weak_scaling", "flops_per_device", "reductions", "reduced_bytes", "instructions")
_TIMES = ("median_s", "p5_s", "examples_per_s", "weak_scaling", "relative_time", "mfu", "input_wait_share")


def _cell(name: str, row: Mapping[str, Any]) -> str:
    value = row[name]
    if value is None:
        return "-"
    match name:
        case "p5_s":
            return f"{milliseconds(value)} to {milliseconds(row['p95_s'])} ms"
        case "median_s":
            return f"{milliseconds(value)} ms"
        case "examples_per_s":
            return f"{value:,.1f}"
        case "relative_time" | "relative_flops":
            return f"{value:.3f}"
        case "mfu" | "input_wait_share" | "weak_scaling":
            return f"{value:.1%}"
        case "compile_s":
            return f"{value:.1f} s"
        case "peak_bytes":
            return f"{value / 2**20:,.0f} MiB"
        case "reduced_bytes":
            return f"{value / 2**10:,.0f} KiB" if value < 2**20 else f"{value / 2**20:,.1f} MiB"
        case "flops_per_device":
            return f"{value / 1e9:,.4g} G"
        case "reductions" | "instructions":
            return f"{value:,}"
    return str(value)


def milliseconds(seconds: float) -> str:
    """Returns seconds as milliseconds, with the digits that were measured."""
    return f"{seconds * 1e3:.3g}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows of cells as lines whose columns stand below each other."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _shown(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The columns that say something: no batch where all have one, and nothing of devices where there is one."""
    several = {"batch": len({row["batch"] for row in rows}) > 1}
    several |= dict.fromkeys(_OF_DEVICES, any(row["devices"] > 1 for row in rows))
    timed = any(row.get("median_s") is not None for row in rows)
    return {
        title: name
        for title, name in COLUMNS.items()
        if several.get(name, True) and (timed or name not in _TIMES) and any(name in row for row in rows)
    }


def format_bench(measured: Mapping[str, Any]) -> str:
    """Returns measurements as text: a table, and how to read it."""
    what, rows = measured["what"], [_whole(row) for row in measured["rows"]]
    columns, sizes = _shown(rows), sorted({(row["devices"], row["batch"]) for row in rows})
    size = f"batch {sizes[0][1]}, {sizes[0][0]} x " if len(sizes) == 1 else ""
    title = f"{what['model']['family']}, {what['dtype']}, {size}{measured['device']}"
    cells = [tuple(columns), *(tuple(_cell(name, row) for name in columns.values()) for row in rows)]
    return "\n".join([title, *aligned(cells), *_notes(measured, rows)])


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS.values()), **row, "flops_per_device": row["flops"] / row["devices"]}


def _notes(measured: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    timed = [row["steps_per_window"] for row in rows if row.get("median_s") is not None]
    if timed:
        notes += [
            f"step: median over {measured['windows']} windows of at least {min(timed)} steps; memory: per device; "
            "input: share of the loop's time spent on waiting for it",
            f"time, FLOPs: relative to {REFERENCE}; of time the median over rounds, each a window by the one of "
            f"{REFERENCE} in the same round, because the speed of a machine changes",
        ]
    if any(row["simulated"] for row in rows):
        notes.append(
            "simulated: one CPU stands for several devices, so how programs, memory and what devices add up grow is "
            "shown, and no speed is claimed"
        )
    if "batch_per_device" in measured:
        notes.append(
            f"every device has {measured['batch_per_device']} examples (weak scaling); efficiency: examples/s per "
            "device, by that of the first count; reduced: bytes that each device adds to a reduction"
        )
    reasons = {row.get("input_wait_reason") for row in rows} - {None}
    return [*notes, *(f"input not measured: {reason}" for reason in sorted(reasons))]
