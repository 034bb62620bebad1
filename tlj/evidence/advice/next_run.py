"""The next most informative run: what is missing, seeds that narrow an open verdict for little, or more labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import scipy.stats

from tlj.evidence.advice.cells import Measured
from tlj.evidence.advice.decision import UNDECIDED, Ruling, rule_at
from tlj.evidence.advice.question import Question
from tlj.evidence.money.total import by_cell


def next_run(measured: Measured, question: Question, ruling: Ruling) -> dict[str, Any] | None:
    """Names the next most informative run.

    Declared runs that are missing come first. Then, of the transferred arms with an undecided verdict, the pair for
    which one more seed in both arms narrows the interval most per dollar, or per accelerator-second where nothing is
    priced: at the label budget of the ruling where that is what is open, else at those that are undecided. Then, for a
    target that was not reached, labels beyond the measured budgets, about which nothing is promised.

    Args:
      measured: the comparison.
      question: what was asked.
      ruling: the answer to it.

    Returns:
      ``{kind: missing, runs, by_arm}``, ``{kind: seeds, arm, against, budget, ...}`` or ``{kind: labels, above}``;
      None where no run would change the answer.
    """
    if missing := measured.summary["missing"]:
        return {"kind": "missing", "runs": len(missing), "by_arm": dict(Counter(row["arm"] for row in missing))}
    transferred = {arm.name for arm in measured.comparison.arms if arm.role == "transfer"}
    rows = [r for r in measured.summary["verdicts"] if r["verdict"] == UNDECIDED and r["arm"] in transferred]
    budgets = measured.comparison.budgets
    undecided = [b for b in budgets if rule_at(measured, b, lambda cell: True).decision == UNDECIDED]
    if ruling.decision == UNDECIDED and ruling.cell is not None:
        undecided = [ruling.cell.budget]
    # Where the answer stands, one arm more or less does not change it.
    rows = [row for row in rows if row["budget"] in undecided] or rows
    options = [_seeds(measured, row) for row in rows]
    if options:
        return max(options, key=lambda each: math.inf if each["rate"] is None else each["rate"])
    unreached = question.target is not None and not any(measured.reaches(c, question.target) for c in measured.cells)
    return {"kind": "labels", "above": budgets[-1]} if unreached else None


def narrower(half_width: float, seeds: int, confidence: float) -> float:
    """Returns the half-width of a t interval once it has a seed more, if the spread stays as it is.

    Args:
      half_width: of the interval with ``seeds`` seeds.
      seeds: at least 2.
      confidence: of both.
    """
    now, then = (scipy.stats.t.ppf(0.5 + confidence / 2, n - 1) / math.sqrt(n) for n in (seeds, seeds + 1))
    return half_width * float(then / now)


def _seeds(measured: Measured, row: Mapping[str, Any]) -> dict[str, Any]:
    spent = by_cell(measured.summary["cost"]["cells"])
    pair = [spent.get((arm, row["budget"]), {}) for arm in (row["arm"], row["against"])]
    seconds, dollars = (_sum([c.get(key) for c in pair]) for key in ("accelerator_seconds_per_run", "dollars_per_run"))
    now, seeds = None, len(row["seeds"])
    if row["interval"] is not None:
        now = (row["interval"][1] - row["interval"][0]) / 2
    then = None if now is None else narrower(now, seeds, row.get("confidence") or measured.summary["confidence"])
    price = dollars or seconds or 1.0
    return {
        "kind": "seeds",
        "arm": row["arm"],
        "against": row["against"],
        "budget": row["budget"],
        "seeds": seeds,
        "more_seeds": row.get("more_seeds"),
        "half_width": now,
        "half_width_with_one_more": then,
        "accelerator_seconds_per_seed": seconds,
        "dollars_per_seed": dollars,
        "rate": None if now is None else (now - then) / price,
    }


def _sum(values: list[float | None]) -> float | None:
    return None if None in values else sum(values)
