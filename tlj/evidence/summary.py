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
from tlj.evidence.judging.statistics import CONFIDENCE, mean_interval
from tlj.evidence.judging.verdict import Verdicts, all_verdicts
from tlj.evidence.labels.effective_data import EffectiveData, ScratchCurve, effective_data
from tlj.evidence.money.cost import cost, timing
from tlj.evidence.runs import Comparison
from tlj.evidence.words.answer import answer, evidence_of
from tlj.evidence.words.findings import findings, notes, parity


def build_summary(comparison: Comparison) -> dict[str, Any]:
    """Computes everything that a comparison shows.

    All of it but ``cost`` and ``timing`` depends on config and seeds alone: no dates, no paths of a machine.

    Args:
      comparison: the runs.

    Returns:
      A JSON object without NaN or infinity; what does not exist is None.
    """
    verdicts = all_verdicts(comparison)
    evidence = evidence_of(comparison, verdicts)
    curves, effective = _effective_data(comparison)
    declared = comparison.declared
    return {
        "task": declared["task"],
        "source_task": declared.get("source_task"),
        "metric": declared["metric"],
        "margin": declared["margin"],
        "confidence": CONFIDENCE,
        "twin": comparison.twin,
        "arms": [{"arm": a.name, "strategy": a.strategy, "init": a.init, "role": a.role} for a in comparison.arms],
        "budgets": list(comparison.budgets),
        "seeds": list(comparison.seeds),
        "test_examples": comparison.test_examples,
        "answer": answer(evidence),
        "findings": findings(evidence, effective),
        "notes": [*notes(evidence, comparison.test_examples), parity(comparison)],
        "cells": _cells(comparison),
        "verdicts": [
            verdicts[arm.name, comparison.twin, budget].to_json()
            for budget in comparison.budgets
            for arm in comparison.arms
            if (arm.name, comparison.twin, budget) in verdicts
        ],
        "pairs": _pairs(comparison, verdicts),
        "effective_data": [row.to_json() for row in effective],
        "effective_data_curves": [curve.to_json() for curve in curves],
        "missing": [{"arm": key.arm, "budget": key.budget, "seed": key.seed} for key in comparison.missing],
        "diverged": [
            {"arm": run.key.arm, "budget": run.key.budget, "seed": run.key.seed}
            for run in comparison.runs
            if not math.isfinite(run.scores.loss)
        ],
        "input": input_facts(comparison),
        "cost": cost(comparison),
        "timing": timing(comparison),
    }


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
    for arm in comparison.arms:
        for budget in comparison.budgets:
            cell = comparison.cell(arm.name, budget)
            if not cell:
                continue
            values = [scores.accuracy for scores in cell.values()]
            estimate = mean_interval(np.array(values))
            losses = [scores.loss for scores in cell.values()]
            loss = mean_interval(np.array(losses)) if all(map(math.isfinite, losses)) else None
            rows.append(
                {
                    "arm": arm.name,
                    "budget": budget,
                    "seeds": list(cell),
                    "values": values,
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


def _effective_data(comparison: Comparison) -> tuple[list[ScratchCurve], list[EffectiveData]]:
    curves, rows = [], []
    for measure in ("nll", "error"):
        losses = {
            arm.name: {
                budget: [s.loss if measure == "nll" else s.floored_error for s in cell.values()]
                for budget in comparison.budgets
                if (cell := comparison.cell(arm.name, budget))
            }
            for arm in comparison.arms
        }
        curve, measured = effective_data(comparison.twin, losses, measure)
        curves += [curve] if curve else []
        rows += measured
    return curves, rows
