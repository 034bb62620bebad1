"""What changed between two measurements, as text: first what else differs, then row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.benchmark.bench.comparison import KEY, SMALLEST_CHANGE, keys_as_text
from tlj.benchmark.bench.request import REFERENCE
from tlj.benchmark.bench.table import aligned

_HEADER = (*KEY, "step", "[95 %]", f"time by {REFERENCE}", "[95 %]", "FLOPs", "memory", "compile", "beyond noise")


def format_comparison(compared: Mapping[str, Any]) -> str:
    """Returns what ``compare_benches`` found as text; every figure is the later by the earlier one."""
    lines = ["since then (later by earlier):"]
    lines += [f"differs: {name}: then {_short(old)}, now {_short(new)}" for name, old, new in compared["differs"]]
    if compared["rows"]:
        lines += aligned([_HEADER, *(_cells(row) for row in compared["rows"])])
    for name, title in (("only_then", "measured then and not now"), ("only_now", "measured now and not then")):
        if compared[name]:
            lines.append(f"{title}: {keys_as_text(compared[name])}")
    return "\n".join([*lines, *_NOTES])


_NOTES = (
    "intervals: bootstrap of the ratio of medians over windows; they hold what windows of one process differ by",
    "two processes at two times differ by more than that, so what changed is judged by the time relative to "
    f"{REFERENCE}, whose windows are taken in the same rounds; {REFERENCE} itself can only be judged by its step",
    f"beyond noise: the interval leaves out 1, and the ratio is off by more than {SMALLEST_CHANGE:.0%}",
)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    judged = "-" if row["changed"] is None else row["changed"]
    if row["by"] == "step" and row["changed"] != "same":
        judged += " (by its step alone)"
    return (
        *(str(row[name]) for name in KEY),
        *_interval(row["step"]),
        *_interval(row["relative"]),
        *(_ratio(row[name]) for name in ("flops", "peak_bytes", "compile_s")),
        judged,
    )


def _interval(interval: Mapping[str, float] | None) -> tuple[str, str]:
    if interval is None:
        return "-", "-"
    return _ratio(interval["ratio"]), f"{interval['low']:.3f} to {interval['high']:.3f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
