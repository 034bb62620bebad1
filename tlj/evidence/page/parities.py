"""The section on parities: each arm against the twin at equal steps, FLOPs or seconds, and each at its best step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.evidence.runs import Comparison

NAMES = {"steps": "same steps", "flops": "same FLOPs", "seconds": "same seconds", "best": "each at its best"}


def parities_context(comparison: Comparison, summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a row per arm and label budget with a column per parity; none where equal steps are all there is.

    Args:
      comparison: not needed.
      summary: ``summary.json``.
    """
    told = {parity["parity"]: parity for parity in (*summary["parities"], *summary["cost"]["parities"])}
    parities = [told[name] for name in NAMES if name in told]
    if len(parities) < 2:
        return {"rows": [], "names": NAMES, "parities": parities}
    places = [
        {(row["arm"], row["budget"]): _cell(row, parity["parity"]) for row in parity["rows"]} for parity in parities
    ]
    names = [arm["arm"] for arm in summary["arms"] if arm["arm"] != summary["twin"]]
    rows = []
    for arm in names:
        for budget in summary["budgets"]:
            columns = [place.get((arm, budget)) for place in places]
            if any(columns):
                rows.append({"arm": arm, "budget": budget, "columns": columns})
    return {"rows": rows, "names": NAMES, "parities": parities}


def _cell(row: Mapping[str, Any], parity: str) -> dict[str, Any] | None:
    if row["verdict"] is None:
        return None
    return {**row, "steps_words": _steps(row, parity)}


def _steps(row: Mapping[str, Any], parity: str) -> str:
    if parity == "best":
        return "" if row["best_step"] is None else f"at step {row['best_step']:,.0f} on average"
    if row["steps"] is None:
        return ""
    text = f"{row['steps']:,.0f} steps"
    return text if row["relative_flops"] is None else f"{text}, {row['relative_flops']:.2f}× FLOPs"
