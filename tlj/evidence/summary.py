"""A comparison's ``summary.json``: every number of the page, as data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tlj.evidence.input import input_facts
from tlj.evidence.judging.adaptive import declared_confidence
from tlj.evidence.judging.statistics import mean_interval
from tlj.evidence.judging.verdict import Verdicts, all_verdicts
from tlj.evidence.labels.over_budgets import inversions, over_budgets
from tlj.evidence.labels.resampling import Losses
from tlj.evidence.money.cost import cost, timing
from tlj.evidence.money.prices import Prices
from tlj.evidence.parities import parities_summary, under_parity
from tlj.evidence.run_files import RunKey
from tlj.evidence.runs import Comparison
from tlj.evidence.scores import over_seeds
from tlj.evidence.scores.groups import group_audit
from tlj.evidence.scores.judged import judged
from tlj.evidence.scores.metrics import Scores
from tlj.evidence.scores.overfitting import learning
from tlj.evidence.scores.shifts import shift_audit
from tlj.evidence.screening.table import screening
from tlj.evidence.tuning import tuning_summary
from tlj.evidence.words.answer import answer, evidence_of
from tlj.evidence.words.claims import claims
from tlj.evidence.words.findings import findings, notes, parity


def build_summary(comparison: Comparison, prices: Prices | None = None) -> dict[str, Any]:
    """Computes everything that a comparison shows.

    All of it but ``cost`` and ``timing`` depends on config and seeds alone: no dates, no paths of a machine.

    Args:
      comparison: the runs.
      prices: the user's prices, for ``cost``; None prices nothing.

    Returns:
      A JSON object without NaN or infinity; what does not exist is None.
    """
    verdicts = all_verdicts(comparison)
    evidence = evidence_of(comparison, verdicts)
    parities, stopped = parities_summary(comparison), _stopped(comparison)
    losses = _losses(stopped)
    inverted = inversions(comparison, losses)
    effective = [row for inversion in inverted for row in inversion.rows]
    declared, cells = comparison.declared, _cells(comparison)
    summary = {
        **_declared(comparison),
        "answer": answer(evidence),
        "findings": findings(evidence, effective),
        "notes": [*notes(evidence, comparison.test_examples), parity(comparison)],
        "cells": cells,
        "metrics": over_seeds.metrics(comparison),
        "groups": group_audit(comparison),
        "shifts": shift_audit(comparison),
        "learning": learning(comparison),
        "calibration": over_seeds.calibration(comparison),
        "reliability": over_seeds.reliability(comparison),
        "confusion": over_seeds.confusion(comparison),
        "verdicts": [
            verdicts[arm.name, comparison.twin, budget].to_json()
            for budget in comparison.budgets
            for arm in comparison.arms
            if (arm.name, comparison.twin, budget) in verdicts
        ],
        "pairs": _pairs(comparison, verdicts),
        "effective_data": [row.to_json() for row in effective],
        "effective_data_at": "last step" if stopped is comparison else "best step",
        "effective_data_curves": [inversion.curve.to_json() for inversion in inverted],
        **over_budgets(comparison, verdicts, losses, inverted),
        "missing": [_place(key) for key in comparison.missing],
        "diverged": [_place(run.key) for run in comparison.runs if not math.isfinite(run.scores.loss)],
        "failed": [{**_place(key), "path": key.path, "error": why} for key, why in comparison.failed],
        "ended": comparison.ended,
        "parities": [row for row in parities if row["parity"] != "seconds"],
        "tuning": tuning_summary(comparison.directory, declared.get("tuning")),
        "input": input_facts(comparison),
        "screening": screening(comparison, cells),
        "cost": cost(comparison, prices, cells, [row.to_json() for row in effective]),
        "timing": timing(comparison),
    }
    # Seconds, and so the steps that equal them, are not the same twice; nor is what is claimed about time.
    summary["cost"]["parities"] = [row for row in parities if row["parity"] == "seconds"]
    summary["cost"]["claims"] = claims(summary)
    return summary


def write_summary(directory: Path, summary: Mapping[str, Any]) -> Path:
    """Writes ``summary.json`` in one step: a reader sees the old file or the new one.

    Args:
      directory: the comparison directory.
      summary: what ``build_summary`` returned.

    Returns:
      The path of the file.
    """
    text = json.dumps(summary, indent=1, sort_keys=True, allow_nan=False) + "\n"
    return write_text(Path(directory) / "summary.json", text)


def write_text(path: Path, text: str) -> Path:
    """Writes a text file in one step and returns its path."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def _cells(comparison: Comparison) -> list[dict[str, Any]]:
    rows = []
    folders = {(run.key.arm, run.key.budget): run.key.path.rpartition("/")[0] for run in comparison.runs}
    for arm in comparison.arms:
        for budget in comparison.budgets:
            cell = comparison.cell(arm.name, budget)
            if not cell:
                continue
            values = judged(comparison, arm.name, budget)
            if not values:
                continue
            estimate = mean_interval(np.array(list(values.values())))
            losses = [cell[seed].loss for seed in values]
            loss = mean_interval(np.array(losses)) if all(map(math.isfinite, losses)) else None
            rows.append(
                {
                    "arm": arm.name,
                    "budget": budget,
                    "path": folders[arm.name, budget],
                    "seeds": list(values),
                    "values": list(values.values()),
                    "mean": estimate.mean,
                    "interval": estimate.interval,
                    "nll_values": [value if math.isfinite(value) else None for value in losses],
                    "nll_mean": loss.mean if loss else None,
                    "nll_interval": loss.interval if loss else None,
                }
            )
    return rows


def _pairs(comparison: Comparison, verdicts: Verdicts) -> list[dict[str, Any]]:
    # Each pair once, the twin second, so that a positive difference speaks for what was trained otherwise.
    names = sorted((arm.name for arm in comparison.arms), key=lambda name: name != comparison.twin)
    return [
        verdicts[arm, against, budget].to_json()
        for against, arm in combinations(names, 2)
        for budget in comparison.budgets
        if (arm, against, budget) in verdicts
    ]


def _place(key: RunKey) -> dict[str, Any]:
    return {"arm": key.arm, "budget": key.budget, "seed": key.seed}


def _declared(comparison: Comparison) -> dict[str, Any]:
    """What was declared before the first run."""
    declared = comparison.declared
    return {
        "task": declared["task"],
        "source_task": declared.get("source_task"),
        "metric": declared["metric"],
        "margin": declared["margin"],
        "confidence": declared_confidence(declared),
        "twin": comparison.twin,
        "arms": [{"arm": a.name, "strategy": a.strategy, "init": a.init, "role": a.role} for a in comparison.arms],
        "budgets": list(comparison.budgets),
        "seeds": list(comparison.seeds),
        "test_examples": comparison.test_examples,
        "exit": declared.get("exit") or {},
        "seeds_rule": declared.get("seeds_rule"),
    }


def _stopped(comparison: Comparison) -> Comparison:
    """The runs as effective data take them: each at its best stopping point, where every run was tested there too."""
    best = under_parity(comparison, "best")
    return best if best.runs and len(best.runs) == len(comparison.runs) else comparison


def _losses(comparison: Comparison) -> dict[str, dict[str, Losses]]:
    return {
        measure: {
            arm.name: {
                budget: {seed: _loss(scores, measure) for seed, scores in cell.items()}
                for budget in comparison.budgets
                if (cell := comparison.cell(arm.name, budget))
            }
            for arm in comparison.arms
        }
        for measure in _measures(comparison)
    }


def _measures(comparison: Comparison) -> tuple[str, ...]:
    # Of sets of classes and of numbers there is the loss alone: they have no class that could be wrong.
    of_classes = all(not run.scores.values or "accuracy" in run.scores.values for run in comparison.runs)
    return ("nll", "error", "nll_scaled") if of_classes else ("loss",)


def _loss(scores: Scores, measure: str) -> float:
    if measure == "error":
        return scores.floored_error
    value = scores.value(measure)
    return math.inf if value is None else value
