"""Quality against cost: which arms at which label budgets no other one beats at no higher cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.money.spending import Spent
from tlj.evidence.money.total import by_cell
from tlj.evidence.runs import Comparison
from tlj.metric_names import lower_is_better


def pareto(
    comparison: Comparison,
    cells: Sequence[Mapping[str, Any]],
    spent: Sequence[Spent],
    totals: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Returns each cell's quality and cost, and whether it lies on the front.

    Args:
      comparison: for the metric and which way it is better.
      cells: the summary's ``cells``.
      spent: accelerator-seconds of each cell.
      totals: of ``total.totals``.

    Returns:
      Rows ``{arm, budget, mean, interval, accelerator_seconds_per_run, dollars, on_front, on_front_of_dollars}``.
      Dollars are those of labels, runs and tuning, None unless all are priced. The front of accelerator-seconds is
      taken within a label budget, because the labels are no part of that cost; the one of dollars over all cells.
    """
    sign = -1.0 if lower_is_better(comparison.declared["metric"]) else 1.0
    seconds = {(row.arm, row.budget): row.per_run for row in spent}
    money = by_cell(totals)
    rows = []
    for cell in cells:
        key = (cell["arm"], cell["budget"])
        priced = money.get(key) or {}
        dollars = [priced.get("labels"), priced.get("training")]
        rows.append(
            {
                "arm": cell["arm"],
                "budget": cell["budget"],
                "mean": cell["mean"],
                "interval": cell["interval"],
                "accelerator_seconds_per_run": seconds.get(key),
                "dollars": None if None in dollars else sum(dollars),
            }
        )
    for row in rows:
        others = [other for other in rows if other["budget"] == row["budget"]]
        row["on_front"] = on_front(row, others, "accelerator_seconds_per_run", sign)
        row["on_front_of_dollars"] = on_front(row, rows, "dollars", sign)
    return rows


def on_front(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]], cost: str, sign: float = 1.0) -> bool | None:
    """Returns whether no other row is at least as good and as cheap, and better in one of the two.

    Args:
      row: with ``mean`` and the cost.
      others: the rows to compare with; the row itself may be among them.
      cost: the key of the cost.
      sign: 1 where a higher mean is better, -1 where a lower one is.

    Returns:
      Whether the row is on the front; None where its cost or its mean is not known.
    """
    if row[cost] is None or row["mean"] is None:
        return None
    here = (row[cost], -sign * row["mean"])
    known = ((o[cost], -sign * o["mean"]) for o in others if o[cost] is not None and o["mean"] is not None)
    return not any(there != here and there[0] <= here[0] and there[1] <= here[1] for there in known)
