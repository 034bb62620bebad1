"""What would change the answer: the label price, the margin, the budget, or a verdict that is open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tlj.evidence.advice.cells import Cell, Measured
from tlj.evidence.advice.decision import HYBRID, TRANSFER, Ruling
from tlj.evidence.advice.question import Question
from tlj.evidence.advice.said import gain, width, width_below
from tlj.evidence.judging.verdict import HELPS
from tlj.evidence.money.total import by_cell
from tlj.evidence.words.money import dollars, dollars_interval
from tlj.evidence.words.wording import count, of_labels


def changes(measured: Measured, question: Question, ruling: Ruling) -> list[str]:
    """Says what would change the answer, each in a clause that can stand in a list.

    Args:
      measured: the comparison.
      question: what was asked.
      ruling: the answer.
    """
    said = []
    if ruling.cell is None:
        return said + _other_budget(measured, question)
    pair = ruling.cell if ruling.cell.verdict else _best_pair(measured, ruling.cell.budget)
    if pair is None:
        return said
    if ruling.decision in (TRANSFER, HYBRID):
        said += _label_price(measured, pair)[1]
    return said + _margin(measured, pair)


def no_price_changes_it(measured: Measured, ruling: Ruling) -> str:
    """Returns the sentence on a transferred choice that no label price would change, or nothing."""
    if ruling.decision not in (TRANSFER, HYBRID):
        return ""
    return _label_price(measured, ruling.cell)[0]


def _best_pair(measured: Measured, budget: int) -> Cell | None:
    return max((cell for cell in measured.at(budget) if cell.verdict), key=measured.quality, default=None)


def _label_price(measured: Measured, cell: Cell) -> tuple[str, list[str]]:
    """What the break-even label price says: a sentence where no price matters, else what would change the answer."""
    row = by_cell(measured.summary["cost"]["label_value"]).get((cell.arm.name, cell.budget))
    found = row and row["break_even"]["sunk"]
    if not found:
        return "", []
    twin, saved = measured.twin.name, _saved(row)
    if found["pays"] == "always":
        return f"It pays at any label price: it costs no more to train than {twin}, and {saved}.", []
    if found["pays"] == "never":
        return f"In dollars it pays at no label price: it costs no less to train than {twin}, and {saved}.", []
    if found["pays"] == "unknown":
        return f"From which label price it pays cannot be told: it {saved}.", []
    bound = f"{found['bound']} " if found["bound"] else ""
    ends = dollars_interval(found["interval"])
    price = f"{bound}{dollars(found['price'])} per label {ends}".rstrip()
    way = "below" if found["pays"] == "above" else "above"
    return "", [f"a label price {way} the break-even of {price}, since it {saved}"]


def _saved(row: Mapping[str, Any]) -> str:
    """How many labels an arm saves or needs besides, with the interval and a bound."""
    saved, ends = row["labels_saved"], row["interval"]
    if row["bound"] and saved == 0:
        way = "is worth" if row["bound"] == "at least" else "is worth at most"
        return f"{way} the labels it has, as far as {of_labels(row['budget'])} can be read off the measured curve"
    bound = f"{row['bound']} " if row["bound"] else "about "
    if saved < 0:
        flipped = {"at least ": "at most ", "at most ": "at least "}
        return f"needs {flipped.get(bound, bound)}{count(-saved)} labels more than the twin"
    between = "" if not ends else f" [{_signed(ends[0])}, {_signed(ends[1])}]"
    return f"saves {bound}{count(saved)} labels{between}"


def _signed(labels: float) -> str:
    return count(labels) if labels >= 0 else f"\N{MINUS SIGN}{count(-labels)}"


def _margin(measured: Measured, cell: Cell) -> list[str]:
    metric, margin, row = measured.metric, measured.summary["margin"], cell.verdict
    of = f"the verdict on {cell.arm.name} at {of_labels(cell.budget)}"
    if row["verdict"] == "undecided":
        more = row.get("more_seeds")
        seeds = "more than 100" if more and more > 100 else f"about {more}"
        return [f"{of}, which {seeds} more seeds would probably decide" if more else f"{of}, which is undecided"]
    if row["verdict"] == "helps":
        return [f"a margin above {width(metric, row['difference'])}, under which this gain would count as small"]
    if row["verdict"] in HELPS:
        return [f"a margin of {width_below(metric, row['difference'])} or less in place of {width(metric, margin)}"]
    if row["verdict"] == "equivalent":
        widest = max(map(abs, row["interval"]))
        if widest == 0:
            return []
        return [
            f"a margin of {width_below(metric, widest)} or less, within which {cell.arm.name} would not be equivalent"
        ]
    return [f"{of} alone, which hurts ({gain(metric, row)})"]


def _other_budget(measured: Measured, question: Question) -> list[str]:
    """For a question that nothing measured answers: the dollars with which something would."""
    if question.budget is None:
        return []
    fit = [c for c in measured.cells if question.target is None or measured.reaches(c, question.target)]
    if not fit:
        return []
    cell = min(fit, key=lambda each: (each.dollars, -measured.quality(each)))
    enough = math.ceil(100 * cell.dollars) / 100
    return [f"a budget of {dollars(enough)}, for {cell.arm.name} with {of_labels(cell.budget)}"]
