"""The advice in words: one paragraph of complete sentences, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tlj.evidence.advice.cells import Cell, Measured
from tlj.evidence.advice.changes import no_price_changes_it
from tlj.evidence.advice.decision import HYBRID, SCRATCH, TRANSFER, UNDECIDED, Ruling, knows_cheapest
from tlj.evidence.advice.question import Question
from tlj.evidence.advice.said import gain, shown, width
from tlj.evidence.judging.verdict import HELPS
from tlj.evidence.money.total import needs_pretraining
from tlj.evidence.words.formatting import seconds
from tlj.evidence.words.metric_words import named
from tlj.evidence.words.money import dollars
from tlj.evidence.words.wording import described, listed, of_labels, sentence

LEAD = {TRANSFER: "Transfer", HYBRID: "Hybrid", SCRATCH: "Train from scratch", UNDECIDED: "Undecided"}


def paragraph(
    measured: Measured, question: Question, ruling: Ruling, result: Mapping[str, Any]
) -> tuple[list[str], str]:
    """Writes the advice.

    Args:
      measured: the comparison.
      question: what was asked.
      ruling: the answer.
      result: what else the advice holds: ``changes``, ``next_run``, ``cost``.

    Returns:
      The reasons, a sentence each, and the whole paragraph.
    """
    reasons = _reasons(measured, question, ruling, result)
    text = [_lead(measured, question, ruling), *reasons]
    if result["changes"]:
        text.append(f"What would change the answer: {'; '.join(result['changes'])}.")
    text += [_failed(measured), _next(measured, result["next_run"])]
    return reasons, " ".join(filter(None, text))


def _failed(measured: Measured) -> str:
    """What no figure of the answer holds."""
    rows = measured.summary.get("failed") or ()
    if not rows:
        return ""
    counts = Counter(row["arm"] for row in rows)
    told = listed(f"{count} of {arm}" for arm, count in counts.items())
    return f"Runs that failed and are in none of this: {told}."


def _lead(measured: Measured, question: Question, ruling: Ruling) -> str:
    missing, done = len(measured.summary["missing"]), len(measured.comparison.runs)
    so_far = f"So far, with {done} of {done + missing} runs: " if missing else ""
    cell = ruling.cell
    if cell is None:
        said = _nothing(measured, question)
    elif question.target is None and question.budget is None:
        return measured.summary["answer"]
    elif ruling.decision == UNDECIDED:
        said = f"{LEAD[UNDECIDED]}: {_among(question, cell)}, but {_open(measured, cell)}."
    else:
        said = f"{LEAD[ruling.decision]}: {_chosen(cell)}."
    return f"{so_far}{said[0].lower() if so_far else said[0]}{said[1:]}"


def _chosen(cell: Cell) -> str:
    return f"{described(cell.arm)} with {of_labels(cell.budget)}"


def _among(question: Question, cell: Cell) -> str:
    if question.target is None:
        return f"the best that fits the budget is {_chosen(cell)}"
    fits = " and fits the budget" if question.budget is not None else ""
    return f"the cheapest number of labels that reaches the target{fits} is {cell.budget:,}, with {described(cell.arm)}"


def _open(measured: Measured, cell: Cell) -> str:
    if not any(other.verdict for other in measured.at(cell.budget)):
        return f"no transferred arm and {measured.twin.name} have both finished a run there"
    return "there the data do not show whether transfer or training from scratch is better"


def _nothing(measured: Measured, question: Question) -> str:
    if not measured.cells:
        return f"{LEAD[UNDECIDED]}: no run is finished."
    reached = [c for c in measured.cells if question.target is None or measured.reaches(c, question.target)]
    if not reached:
        best, metric = max(measured.cells, key=measured.quality), measured.metric
        return (
            f"{LEAD[UNDECIDED]}: the target of {shown(metric, question.target)} is not reached within the measured "
            f"budgets (best: {best.arm.name} with {of_labels(best.budget)}, {shown(metric, best.mean, best.interval)})."
        )
    what = "nothing that was measured" if question.target is None else "nothing that reaches the target"
    return f"{LEAD[UNDECIDED]}: {what} can be had for {dollars(question.budget)}."


def _reasons(measured: Measured, question: Question, ruling: Ruling, result: Mapping[str, Any]) -> list[str]:
    cell = ruling.cell
    if cell is None:
        return [f"Apart from that the evidence says: {measured.summary['answer']}"] if measured.cells else []
    metric = measured.metric
    reached = shown(metric, cell.mean, cell.interval)
    seeds = f"the mean of {cell.seeds} seeds" if cell.seeds > 1 else "from one seed, so without an interval"
    said = [f"With {of_labels(cell.budget)} {cell.arm.name} has a test {named(metric)} of {reached}, {seeds}."]
    if question.target is not None:
        said.append(_target(measured, question.target, cell))
    said.append(_why(measured, ruling))
    said += [no_price_changes_it(measured, ruling), _cost(result["cost"], cell, question)]
    return [text for text in said if text]


def _target(measured: Measured, target: float, cell: Cell) -> str:
    asked = shown(measured.metric, target)
    if measured.surely_reaches(cell, target):
        return f"The whole interval reaches the target of {asked}."
    if cell.interval is None:
        return f"One seed reaches the target of {asked}, so it is not sure to be met."
    return f"The mean reaches the target of {asked}, but the interval does not, so it is not sure to be met."


def _why(measured: Measured, ruling: Ruling) -> str:
    cell, twin = ruling.cell, measured.twin.name
    if cell.verdict:
        against = f"It is at {gain(measured.metric, cell.verdict)} against {twin} ({cell.word})"
        if ruling.why == "helps":
            if not knows_cheapest([c for c in measured.at(cell.budget) if c.word in HELPS]):
                return f"{against}, and is the best of what helps; which of it is the cheapest cannot be told."
            margin = width(measured.metric, measured.summary["margin"])
            return f"{against}, and is the cheapest of what helps within {margin} of the best."
        if ruling.why == "equal-cheaper":
            return f"{against}, so it is no better, but it is cheaper to train."
        return f"{against}."
    pairs = [c for c in measured.at(cell.budget) if c.verdict]
    if not pairs:
        return ""
    best = max(pairs, key=measured.quality)
    against = f"The best transferred arm there, {best.arm.name}, is at "
    against += f"{gain(measured.metric, best.verdict)} against it ({best.word})"
    if ruling.why == "only":
        return f"{against}, but no arm that helps there was allowed by what is asked."
    dear = ", and none that equals it is cheaper to train" if ruling.why == "equal" else ""
    return f"{against}{dear}."


def _cost(cost: Mapping[str, Any], cell: Cell, question: Question) -> str:
    """Says what the choice costs, and what is in the sum and what is not."""
    parts = []
    if cost["labels"] is not None:
        workers = cost["workers_per_label"] or 1.0
        each = f" by {workers:g} workers each" if workers != 1 else ""
        price = dollars(cost["dollars_per_label"])
        parts.append(f"{dollars(cost['labels'])} for {of_labels(cell.budget)} at {price}{each}")
    if cost["training"] is not None:
        runs = f"{cost['runs']} run{'s' if cost['runs'] != 1 else ''}"
        trials = cost["tuning_trials"]
        tuning = f" and {trials} tuning trial{'s' if trials != 1 else ''}" if trials else " and no tuning trials"
        parts.append(f"{dollars(cost['training'])} for {runs}{tuning}")
    if not parts:
        return ""
    within = f" of the budget of {dollars(question.budget)}" if question.budget is not None else ""
    left_out = "; training is not priced and left out" if cost["training"] is None else ""
    left_out += "; the pretraining counts as sunk" if needs_pretraining(cell.arm) else ""
    return f"It costs {dollars(cost['total'])}{within}: {listed(parts)}{left_out}."


def _next(measured: Measured, run: Mapping[str, Any] | None) -> str:
    if run is None:
        return ""
    if run["kind"] == "missing":
        by_arm = listed(f"{count} of {arm}" for arm, count in run["by_arm"].items())
        runs = f"{run['runs']} missing runs" if run["runs"] > 1 else "missing run"
        if ended := measured.summary.get("ended"):
            return f"The comparison was ended, because {ended}; past that, the next would be the {runs}: {by_arm}."
        return f"Next, finish the {runs}: {by_arm}."
    if run["kind"] == "labels":
        return sentence(f"only more than {of_labels(run['above'])} could tell, and they were not measured.")
    text = f"The next most informative run is one more seed of {run['arm']} and {run['against']} at "
    text += of_labels(run["budget"])
    if run["half_width"] is not None:
        now, then = (width(measured.metric, run[key]) for key in ("half_width", "half_width_with_one_more"))
        text += f": it would narrow the interval of their difference from about ±{now} to ±{then}"
    price = run["dollars_per_seed"]
    spent = dollars(price) if price is not None else run["accelerator_seconds_per_seed"]
    spent = f"{seconds(spent)} of accelerator time" if isinstance(spent, float) else spent
    return f"{text}, for {spent}." if spent else f"{text}."
