"""What the labels that an arm saves are worth, and the label price from which it pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.money.prices import Prices
from tlj.evidence.money.total import ACCOUNTINGS, by_cell, label_dollars
from tlj.evidence.runs import Comparison

# The first of these that was estimated says how many labels an arm is worth, like the sentences of the report.
MEASURES = ("error", "nll")
BOUNDS = {"above": "at least", "below": "at most", None: None}


def label_values(
    comparison: Comparison,
    prices: Prices | None,
    totals: Sequence[Mapping[str, Any]],
    effective: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Prices the labels that each arm saves against its twin at the same label budget.

    The value is ``V = D_T c r + (C_X - C_T)`` and the break-even label price ``c* = (C_T - C_X) / (D_T r)``, with D_T
    the labels saved, c the price of a label, r the workers per label, C the dollars of training and, by accounting, of
    pretraining. Intervals are those of D_T carried through; the dollars of training are taken as they were measured.
    Both sides are taken with as many seeds. Where D_T is censored the value is a bound, and said to be one.

    Args:
      comparison: the runs.
      prices: the user's, or None.
      totals: of ``total.totals``.
      effective: the summary's ``effective_data``.

    Returns:
      Rows ``{arm, budget, measure, labels_saved, interval, bound, interval_bounds, label_dollars,
      label_dollars_interval, extra_training, value, break_even}``; the last three by accounting.
    """
    rows, cells = [], by_cell(totals)
    found = [row["measure"] for row in effective]
    known = [measure for measure in MEASURES if measure in found] or found
    if prices is None or not known:
        return rows
    for row in effective:
        arm, twin = cells.get((row["arm"], row["budget"])), cells.get((comparison.twin, row["budget"]))
        if row["measure"] == known[0] and arm is not None:
            rows.append(_row(row, _extra(arm, twin), prices))
    return rows


def _extra(arm: Mapping[str, Any], twin: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Dollars that an arm costs above its twin besides labels, by accounting, both with as many runs."""
    extra = {}
    for accounting in ACCOUNTINGS:
        parts = [None, None, None]
        if twin is not None:
            runs = min(arm["runs"], twin["runs"])
            parts = [_training(twin, runs), _training(arm, runs), arm["pretraining"][accounting]]
        extra[accounting] = None if None in parts else parts[1] + parts[2] - parts[0]
    return extra


def _training(row: Mapping[str, Any], runs: int) -> float | None:
    """Dollars of a cell's trials and of so many of its runs: one with more seeds is not dearer for it."""
    if row["training"] is None or row["training_of_a_run"] is None:
        return None
    return row["training"] - (row["runs"] - runs) * row["training_of_a_run"]


def _row(row: Mapping[str, Any], extra: Mapping[str, float | None], prices: Prices) -> dict[str, Any]:
    saved = row["effective_labels"] - row["budget"]
    interval = row["interval"] and [end - row["budget"] for end in row["interval"]]
    workers = prices.value("labels.workers_per_label", 1.0)
    worth = label_dollars(saved, prices)
    worth_interval = None if interval is None or worth is None else [label_dollars(end, prices) for end in interval]
    values = {}
    for accounting, dollars in extra.items():
        known = worth is not None and dollars is not None
        ends = [end - dollars for end in worth_interval] if known and worth_interval else None
        values[accounting] = {"value": worth - dollars, "interval": ends} if known else None
    return {
        "arm": row["arm"],
        "budget": row["budget"],
        "measure": row["measure"],
        "labels_saved": saved,
        "interval": interval,
        "bound": BOUNDS[row["censored"]],
        "interval_bounds": [BOUNDS[end] for end in row["interval_censored"]],
        "label_dollars": worth,
        "label_dollars_interval": worth_interval,
        "extra_training": dict(extra),
        "value": values,
        "break_even": {
            accounting: break_even(saved, interval, dollars, workers, row["censored"])
            for accounting, dollars in extra.items()
        },
    }


def break_even(
    labels_saved: float,
    interval: Sequence[float] | None,
    extra: float | None,
    workers: float,
    censored: str | None = None,
) -> dict[str, Any] | None:
    """Returns the label price at which what an arm saves in labels equals what it costs in training.

    Args:
      labels_saved: D_T; negative where the arm needs more labels than its twin.
      interval: of D_T, or None.
      extra: ``C_T - C_X`` in dollars, None where it is not priced.
      workers: workers per label.
      censored: ``above`` where D_T is at least so many labels, ``below`` where at most, else None.

    Returns:
      ``pays`` (``always``, ``never``, ``unknown``, or ``above`` or ``below`` the price), ``price`` in dollars per label
      and worker (None with the first three), ``bound`` (``at most`` or ``at least``, where D_T is censored) and
      ``interval``, with None for an end that has no bound and as a whole where D_T has no interval. None where training
      is not priced.
    """
    if extra is None:
        return None
    if labels_saved == 0 or (extra <= 0 <= labels_saved) or (extra >= 0 >= labels_saved):
        saves = labels_saved > 0 or (labels_saved == 0 and censored == "above")
        pays = "always" if extra < 0 or (extra == 0 and saves) else "never"
        # At an end of the measured curve the labels saved are no less than none, or no more, and may be any number.
        if labels_saved == 0 and ((censored == "above" and extra > 0) or (censored == "below" and extra < 0)):
            pays = "unknown"
        return {"pays": pays, "price": None, "bound": None, "interval": None}
    price = extra / (labels_saved * workers)
    # The further the labels saved lie from none, the lower the price.
    further = {None: None, "above": labels_saved > 0, "below": labels_saved < 0}[censored]
    bound = {True: "at most", False: "at least", None: None}[further]
    ends = None
    if interval is not None:
        # More labels saved, lower price; where D_T may be zero the price has no upper end.
        same = [end for end in interval if end * labels_saved > 0]
        prices = sorted(extra / (end * workers) for end in same)
        ends = [prices[0] if prices else None, prices[-1] if len(same) == 2 else None]
    return {"pays": "above" if extra > 0 else "below", "price": price, "bound": bound, "interval": ends}
