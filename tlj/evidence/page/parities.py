"""The section on parities: each arm against the twin at equal steps, FLOPs or seconds, and each at its best step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.evidence.runs import Comparison


def parities_context(comparison: Comparison, summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a row per arm and label budget with a column per parity; none where equal steps are all there is.

    Args:
      comparison: not needed.
      summary: ``summary.json``.
    """
    if len(summary["parities"]) < 2:
        return {"rows": []}
    places = [{(row["arm"], row["budget"]): row for row in parity["rows"]} for parity in summary["parities"]]
    names = [arm["arm"] for arm in summary["arms"] if arm["arm"] != summary["twin"]]
    rows = []
    for arm in names:
        for budget in summary["budgets"]:
            columns = [_cell(place.get((arm, budget))) for place in places]
            if any(columns):
                rows.append({"arm": arm, "budget": budget, "columns": columns})
    return {"rows": rows}


def _cell(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None or row["verdict"] is None:
        return None
    return {**row, "steps_words": _steps(row)}


def _steps(row: Mapping[str, Any]) -> str:
    steps = row["steps"] if row["steps"] is not None else 0
    text = f"{steps:,.0f} steps"
    return text if row["relative_flops"] is None else f"{text}, {row['relative_flops']:.2f}× FLOPs"
