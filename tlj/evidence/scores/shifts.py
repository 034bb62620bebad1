"""Every arm on the shifted test sets: what it reaches, what it loses, and whether it loses less than its twin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlj.evidence.judging.statistics import mean_interval, paired_difference
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import metric_of
from tlj.evidence.scores.metrics import Scores

Cell = Mapping[int, Scores]


def shift_audit(comparison: Comparison) -> dict[str, Any] | None:
    """Returns what a comparison says of its shifted test sets.

    Args:
      comparison: the runs.

    Returns:
      A JSON object, or None where no run was tested on one. ``cells`` hold for each arm, label budget and set the value
      of the comparison's metric, the drop from the own test (positive where the shifted set is worse), every other
      metric, and how well confidence tells the set from the own test; ``worst`` names the set with the worst value;
      ``differences`` hold each arm less its twin, paired by seed, a positive one speaking for the arm.
    """
    names = sorted({name for run in comparison.runs for name in run.scores.shifts})
    if not names:
        return None
    judged = metric_of(comparison)
    metric, sign = judged.name, float(judged.sign)
    examples = {
        name: next(run.scores.shifts[name].scores.examples for run in comparison.runs if name in run.scores.shifts)
        for name in names
    }
    cells = [
        row
        for arm in comparison.arms
        for budget in comparison.budgets
        for name in names
        if (row := _cell(arm.name, budget, name, comparison.cell(arm.name, budget), metric, sign))
    ]
    return {
        "metric": metric,
        "sets": [{"shift": name, "examples": examples[name]} for name in names],
        "cells": cells,
        "worst": _worst(cells, sign),
        "differences": _differences(comparison, names, metric, sign),
    }


def _pairs(cell: Cell, name: str, metric: str) -> dict[int, tuple[float, float]]:
    """By seed the value on the own test and on a shifted set, where both have one."""
    found = {}
    for seed, scores in cell.items():
        shifted = scores.shifts.get(name)
        values = (scores.value(metric), shifted.scores.value(metric) if shifted else None)
        if None not in values:
            found[seed] = values
    return found


def _cell(arm: str, budget: int, name: str, cell: Cell, metric: str, sign: float) -> dict[str, Any] | None:
    pairs = _pairs(cell, name, metric)
    if not pairs:
        return None
    own, shifted = np.array(list(pairs.values())).T
    mean, in_domain, drop = (mean_interval(values) for values in (shifted, own, sign * (own - shifted)))
    scored = [cell[seed].shifts[name] for seed in pairs]
    return {
        "arm": arm,
        "budget": budget,
        "shift": name,
        "seeds": list(pairs),
        "mean": mean.mean,
        "interval": mean.interval,
        "own_mean": in_domain.mean,
        "own_interval": in_domain.interval,
        "drop": drop.mean,
        "drop_interval": drop.interval,
        "metrics": {
            other: _mean(found.scores.value(other) for found in scored)
            for other in sorted({key for found in scored for key in found.scores.values})
        },
        "msp_auroc": _estimate([found.auroc for found in scored]),
        "msp_fpr_at_95": _estimate([found.fpr_at_95 for found in scored]),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    values = list(values)
    return None if None in values else float(np.mean(values))


def _estimate(values: Sequence[float | None]) -> dict[str, Any] | None:
    if None in values:
        return None
    estimate = mean_interval(np.array(values))
    return {"mean": estimate.mean, "interval": estimate.interval}


def _worst(cells: Sequence[Mapping[str, Any]], sign: float) -> list[dict[str, Any]]:
    worst: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in cells:
        place = row["arm"], row["budget"]
        if place not in worst or sign * row["mean"] < sign * worst[place]["mean"]:
            worst[place] = row
    return [{key: row[key] for key in ("arm", "budget", "shift", "mean", "interval")} for row in worst.values()]


def _differences(comparison: Comparison, names: Sequence[str], metric: str, sign: float) -> list[dict[str, Any]]:
    rows = []
    for budget in comparison.budgets:
        for name in names:
            twin = _pairs(comparison.cell(comparison.twin, budget), name, metric)
            for arm in (arm.name for arm in comparison.arms if arm.name != comparison.twin):
                mine = _pairs(comparison.cell(arm, budget), name, metric)
                if seeds := [seed for seed in mine if seed in twin]:
                    place = {"arm": arm, "budget": budget, "shift": name, "seeds": seeds}
                    both = np.array([mine[seed] for seed in seeds]), np.array([twin[seed] for seed in seeds])
                    rows.append({**place, **_difference(*both, sign)})
    return rows


def _difference(mine: np.ndarray, twin: np.ndarray, sign: float) -> dict[str, Any]:
    """The arm less its twin, on the shifted set and in what each loses; columns are own test and shifted set."""
    shifted = paired_difference(sign * mine[:, 1], sign * twin[:, 1])
    drop = paired_difference(sign * (mine[:, 0] - mine[:, 1]), sign * (twin[:, 0] - twin[:, 1]))
    interval = shifted.estimate.interval
    word = "undecided"
    if interval and (interval[0] > 0 or interval[1] < 0):
        word = "better" if interval[0] > 0 else "worse"
    return {
        "difference": shifted.estimate.mean,
        "interval": interval,
        "p": shifted.p,
        "p_floor": shifted.p_floor,
        "word": word,
        "drop_difference": drop.estimate.mean,
        "drop_interval": drop.estimate.interval,
    }
