"""The rule that chooses: at a label budget among the arms, and among the label budgets for what is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tlj.evidence.advice.cells import Cell, Measured
from tlj.evidence.advice.question import Question
from tlj.evidence.judging.verdict import HELPS, TOLERANCE

TRANSFER, SCRATCH, HYBRID, UNDECIDED = "transfer", "scratch", "hybrid", "undecided"


@dataclass(frozen=True)
class Ruling:
    """What the rule says.

    Args:
      decision: ``transfer``, ``scratch``, ``hybrid`` (a transferred arm that trains in phases) or ``undecided``.
      cell: the choice, or, where it is undecided, the best of what was allowed; None where there is none.
      why: ``helps``, ``equal`` (scratch is no worse and no dearer), ``equal-cheaper`` (transfer is no better but
        cheaper), ``hurts``, ``only`` (what helps is not allowed, but scratch is), ``open`` (the verdicts do not tell),
        ``unpaired`` (no pair has run) or ``nothing`` (nothing is allowed).
    """

    decision: str
    cell: Cell | None
    why: str


def rule(measured: Measured, question: Question) -> Ruling:
    """Chooses what to train and with how many labels, of what was measured alone.

    With a target: of the budgets with a cell that reaches it, the one where the cheapest of these costs least. With
    a budget in dollars alone: the fewest labels with which the choice comes within the margin of the best affordable
    one. With neither: the largest label budget that carries the strongest decision of all.

    Args:
      measured: the comparison.
      question: what is asked.

    Returns:
      The ruling.
    """
    budgets = measured.comparison.budgets
    if question.target is None and question.budget is None:
        rulings = [rule_at(measured, budget, lambda cell: True) for budget in budgets]
        # In the order of the answer: a gain, then a loss, then neither, where transfer may still be the cheaper.
        for reasons in (("helps",), ("hurts",), ("equal", "equal-cheaper"), ("open", "unpaired")):
            found = [each for each in rulings if each.why in reasons and each.cell is not None]
            if found:
                return max(found, key=lambda each: each.cell.budget)
        return Ruling(UNDECIDED, None, "nothing")
    fits = allowed_by(measured, question)
    open_to = [budget for budget in budgets if any(fits(cell) for cell in measured.at(budget))]
    if not open_to:
        return Ruling(UNDECIDED, None, "nothing")
    if question.target is not None:
        return rule_at(measured, min(open_to, key=lambda budget: _least(measured, budget, fits)), fits)
    rulings = [rule_at(measured, budget, fits) for budget in open_to]
    best = max(measured.quality(each.cell) for each in rulings)
    enough = (each for each in rulings if measured.quality(each.cell) >= best - measured.summary["margin"] - TOLERANCE)
    return min(enough, key=lambda each: each.cell.budget)


def allowed_by(measured: Measured, question: Question) -> Callable[[Cell], bool]:
    """Returns whether a cell reaches the target and can be afforded, each where it is asked about."""

    def fits(cell: Cell) -> bool:
        if question.budget is not None and cell.dollars > question.budget + TOLERANCE:
            return False
        return question.target is None or measured.reaches(cell, question.target)

    return fits


def rule_at(measured: Measured, budget: int, fits: Callable[[Cell], bool]) -> Ruling:
    """Decides at one label budget.

    Where transfer helps: the cheapest arm within the margin of the best of those that help. Where every transferred
    arm hurts or is equivalent: scratch, unless an equivalent one is cheaper. Else undecided.

    Args:
      measured: the comparison.
      budget: the label budget.
      fits: which cells may be chosen; the verdicts of the others count all the same.

    Returns:
      The ruling; its cell is None where no cell may be chosen.
    """
    here = measured.at(budget)
    twin = next((cell for cell in here if cell.arm == measured.twin and fits(cell)), None)
    paired = [cell for cell in here if cell.word is not None]
    lead = max(filter(fits, here), key=measured.quality, default=None)
    if lead is None:
        return Ruling(UNDECIDED, None, "nothing")
    if not paired:
        return Ruling(UNDECIDED, lead, "unpaired")
    helping = [cell for cell in paired if cell.word in HELPS]
    if pool := [cell for cell in helping if fits(cell)]:
        near = measured.quality(max(pool, key=measured.quality)) - measured.summary["margin"] - TOLERANCE
        return _transferred(measured, _cheapest(measured, [c for c in pool if measured.quality(c) >= near]), "helps")
    if helping:
        return Ruling(SCRATCH, twin, "only") if twin else Ruling(UNDECIDED, lead, "open")
    if {cell.word for cell in paired} <= {"hurts", "equivalent"}:
        whole = next(cell for cell in here if cell.arm == measured.twin)
        equal = [cell for cell in paired if cell.word == "equivalent" and fits(cell)]
        cheaper = [c for c in equal if None not in (c.effort, whole.effort) and _is_cheaper(c, whole)]
        if cheaper:
            return _transferred(measured, _cheapest(measured, cheaper), "equal-cheaper")
        if twin:
            return Ruling(SCRATCH, twin, "equal" if any(c.word == "equivalent" for c in paired) else "hurts")
    return Ruling(UNDECIDED, lead, "open")


def _transferred(measured: Measured, cell: Cell, why: str) -> Ruling:
    return Ruling(HYBRID if measured.phased(cell.arm) else TRANSFER, cell, why)


def knows_cheapest(cells: Sequence[Cell]) -> bool:
    """Returns whether cells of one label budget can be compared in what it costs to train them."""
    return len(cells) < 2 or _are_priced(cells) or None not in [cell.effort for cell in cells]


def _are_priced(cells: Sequence[Cell]) -> bool:
    return all(None not in (cell.training, cell.of_a_run) for cell in cells)


def _costs(cells: Sequence[Cell]) -> list[tuple[float, float]]:
    """What tells cells of one label budget apart in cost, each as if it had run as many seeds as the others.

    Dollars come first, because they hold the tuning. What is not known of all of them does not count.
    """
    seeds, dollars, effort = max(cell.seeds for cell in cells), [0.0] * len(cells), [0.0] * len(cells)
    if _are_priced(cells):
        # To nine digits: the same sum in another order is no difference.
        dollars = [float(f"{cell.training + (seeds - cell.seeds) * cell.of_a_run:.9g}") for cell in cells]
    if None not in [cell.effort for cell in cells]:
        effort = [cell.effort for cell in cells]
    return list(zip(dollars, effort, strict=True))


def _is_cheaper(cell: Cell, other: Cell) -> bool:
    costs = _costs([cell, other])
    return costs[0] < costs[1]


def _cheapest(measured: Measured, cells: Sequence[Cell]) -> Cell:
    costs = _costs(cells)
    return cells[min(range(len(cells)), key=lambda i: (costs[i], -measured.quality(cells[i])))]


def _least(measured: Measured, budget: int, fits: Callable[[Cell], bool]) -> tuple[float, int]:
    dollars = [cell.dollars for cell in measured.at(budget) if fits(cell)]
    return (0.0 if None in dollars else min(dollars), budget)
