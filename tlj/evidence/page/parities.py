"""The section on parities: each arm against the twin at equal steps, FLOPs or seconds, and each at its best step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.evidence.runs import Comparison

NAMES = {"steps": "same steps", "flops": "same FLOPs", "seconds": "same seconds", "best": "each at its best"}
# Steps are whole numbers, and phases begin with one.
_NEAR = 0.05


def parities_context(comparison: Comparison, summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a row per arm and label budget with a column per parity; none where equal steps are all there is.

    Args:
      comparison: not needed.
      summary: ``summary.json``.
    """
    told = {parity["parity"]: parity for parity in (*summary["parities"], *summary["cost"]["parities"])}
    parities = [told[name] for name in NAMES if name in told]
    if len(parities) < 2:
        return {"rows": [], "names": NAMES, "parities": parities, "off": []}
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
    return {"rows": rows, "names": NAMES, "parities": parities, "off": _off(told.get("flops"))}


def _off(parity: Mapping[str, Any] | None) -> list[str]:
    """The arms that did not come to the twin's FLOPs: where phases wait for a plateau, a seed has its own."""
    rows = parity["rows"] if parity else ()
    found = (row["arm"] for row in rows if row["relative_flops"] and abs(row["relative_flops"] - 1) > _NEAR)
    return list(dict.fromkeys(found))


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
