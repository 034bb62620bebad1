"""The advice on a comparison: a decision, what it costs, what would change it, and what to run next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tlj.evidence.advice.cells import Cell, Measured
from tlj.evidence.advice.changes import changes
from tlj.evidence.advice.decision import Ruling, rule
from tlj.evidence.advice.next_run import next_run
from tlj.evidence.advice.paragraph import paragraph
from tlj.evidence.advice.question import Question
from tlj.evidence.money.prices import find_prices
from tlj.evidence.pairs import check_pairs
from tlj.evidence.runs import read_comparison
from tlj.evidence.scores.judged import metric_of
from tlj.evidence.summary import build_summary


def advise_on(directory: str | Path, question: Question, prices: str | Path | None = None) -> dict[str, Any]:
    """Reads a comparison and answers a question about it.

    Args:
      directory: a directory that ``tlj compare`` wrote, finished or not.
      question: what is asked.
      prices: a file of prices; without one, the ``prices.toml`` of the directory where there is one.

    Returns:
      As ``advise``.

    Raises:
      InputError: the directory is not a comparison, a file cannot be used, an arm's run differs from its twin's in what
        was not declared, or the question has no meaning here.
    """
    priced = question.priced(find_prices(directory, prices))
    comparison = read_comparison(directory)
    check_pairs(comparison)
    question.check_target(metric_of(comparison))
    return advise(Measured(comparison, build_summary(comparison, priced)), question)


def advise(measured: Measured, question: Question) -> dict[str, Any]:
    """Answers a question from what was measured alone; it never extrapolates.

    Args:
      measured: the comparison, priced as the question asks.
      question: what is asked.

    Returns:
      A JSON object: ``decision`` (``transfer``, ``scratch``, ``hybrid``, ``undecided``), ``arm``, ``strategy`` and
      ``budget`` (the choice, or the best of what was allowed), ``mean``, ``interval``, ``verdict``, ``cost``,
      ``target``, ``reasons``, ``changes``, ``next_run``, ``missing`` and ``text``, the paragraph.
    """
    ruling = rule(measured, question)
    cell, verdict = ruling.cell, ruling.cell and ruling.cell.verdict
    # What transfer is worth stands on a pair: that of the choice, or for scratch of the best arm there.
    result = {
        "decision": ruling.decision,
        "why": ruling.why,
        "arm": cell and cell.arm.name,
        "strategy": cell and cell.arm.strategy,
        "init": cell and cell.arm.init,
        "budget": cell and cell.budget,
        "metric": measured.metric.name,
        "mean": cell and cell.mean,
        "interval": list(cell.interval) if cell and cell.interval else None,
        "seeds": cell and cell.seeds,
        "verdict": cell and cell.word,
        "difference": verdict and verdict["difference"],
        "difference_interval": verdict and verdict["interval"],
        "cost": _cost(measured, cell),
        "target": _target(measured, question, ruling),
        "question": dict(vars(question)),
        "missing": len(measured.summary["missing"]),
        "changes": changes(measured, question, ruling),
        "next_run": next_run(measured, question, ruling),
    }
    result["reasons"], result["text"] = paragraph(measured, question, ruling, result)
    return result


def _cost(measured: Measured, cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    prices = measured.summary["cost"]["prices"] or {}
    included = [name for name in ("labels", "training") if getattr(cell, name) is not None]
    return {
        "labels": cell.labels,
        "training": cell.training,
        "total": sum(getattr(cell, name) for name in included) if included else None,
        "included": included,
        "runs": cell.seeds,
        "tuning_trials": cell.trials,
        "pretraining": "sunk",
        "dollars_per_label": prices.get("dollars_per_label"),
        "workers_per_label": prices.get("workers_per_label"),
    }


def _target(measured: Measured, question: Question, ruling: Ruling) -> dict[str, Any] | None:
    if question.target is None:
        return None
    best = max(measured.cells, key=measured.quality, default=None)
    there = [cell for cell in measured.cells if measured.reaches(cell, question.target)]
    chosen = ruling.cell
    return {
        "value": question.target,
        "reached": bool(there),
        "reached_within_budget": chosen is not None,
        "interval_reaches": chosen is not None and measured.surely_reaches(chosen, question.target),
        "best": best and {"arm": best.arm.name, "budget": best.budget, "mean": best.mean},
    }
