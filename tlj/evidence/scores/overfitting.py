"""Learning curves: training and validation loss over steps, the gap to the test, and a validation loss that rises."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from tlj.errors import InputError
from tlj.evidence.judging.statistics import mean_interval
from tlj.evidence.run_files import Run
from tlj.evidence.runs import Comparison

LOG = "metrics.jsonl"
MOST_POINTS = 50
# A rise of less than either is taken for chance, or for nothing.
STANDARD_ERRORS, LEAST_RISE = 2.0, 0.02


@dataclass(frozen=True)
class Curve:
    """The losses of one run by step, at most ``MOST_POINTS`` + 1 of each kind."""

    train: Mapping[int, float]
    validation: Mapping[int, float]


def learning(comparison: Comparison) -> dict[str, Any] | None:
    """Returns the mean learning curves of every arm and label budget, and where the validation loss rises.

    Args:
      comparison: the runs, whose ``metrics.jsonl`` are read; a run without one has no curve.

    Returns:
      A JSON object with ``cells``, or None where no run has a curve. Curves are means over the seeds at the steps that
      all of them have. ``rise`` is how far the validation loss is above its lowest at the last step (``rise_of``), with
      its standard error over seeds; ``rises`` is None with one seed or one validation.

    Raises:
      InputError: for a line that is no row of metrics.
    """
    runs: dict[tuple[str, int], list[Run]] = {}
    for run in comparison.runs:
        runs.setdefault((run.key.arm, run.key.budget), []).append(run)
    cells = []
    for arm in comparison.arms:
        for budget in comparison.budgets:
            mine = sorted(runs.get((arm.name, budget), []), key=lambda run: run.key.seed)
            if row := _cell(comparison.directory, arm.name, budget, mine):
                cells.append(row)
    return {"standard_errors": STANDARD_ERRORS, "least_rise": LEAST_RISE, "cells": cells} if cells else None


def read_curve(path: Path, most: int = MOST_POINTS) -> Curve:
    """Reads the losses of a run.

    Thinned to every second, fourth, eighth ... row, so that runs of any length share steps; the last row stays.

    Args:
      path: of its ``metrics.jsonl``; a last line that was cut is left out.
      most: rows of each kind, besides the last.

    Raises:
      InputError: for a line that is no row of metrics.
    """
    train, validation = [], []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        for line in lines:
            row = json.loads(line)
            for name, points in (("loss", train), ("validation_loss", validation)):
                value = row.get(name)
                if value is not None and math.isfinite(value):
                    points.append((int(row["step"]), float(value)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"cannot be read as metrics ({error})", where=str(path), do="take the line out") from error
    return Curve(_thinned(train, most), _thinned(validation, most))


def _thinned(points: Sequence[tuple[int, float]], most: int) -> dict[int, float]:
    stride = 1
    while len(points) > most * stride:
        stride *= 2
    return dict([*points[stride - 1 :: stride], *points[-1:]])


def _cell(directory: Path, arm: str, budget: int, runs: Sequence[Run]) -> dict[str, Any] | None:
    curves = [(run, read_curve(path)) for run in runs if (path := directory / run.key.path / LOG).is_file()]
    if not curves or not any(curve.train or curve.validation for _, curve in curves):
        return None
    validation = _common([curve.validation for _, curve in curves])
    return {
        "arm": arm,
        "budget": budget,
        "seeds": [run.key.seed for run, _ in curves],
        "train": _means(_common([curve.train for _, curve in curves])),
        "validation": _means(validation),
        "gap": _gap(curves),
        **rise_of(validation),
    }


def _common(curves: Sequence[Mapping[int, float]]) -> dict[int, list[float]]:
    """The values of all seeds at the steps that every one has."""
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {step: [curve[step] for curve in curves] for step in steps}


def _means(values: Mapping[int, Sequence[float]]) -> dict[str, list]:
    means = [float(f"{np.mean(seeds):.6g}") for seeds in values.values()]
    return {"steps": list(values), "loss": means}


def rise_of(validation: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """Says whether a mean validation loss rises from its lowest point to its end.

    The rise of each seed is from the step at which the mean of the others is lowest: the lowest of many noisy values is
    low by chance, and every curve would rise from its own.

    Args:
      validation: by step the losses of all seeds, in one order.

    Returns:
      ``lowest`` (step and value of the lowest mean), ``rise`` (mean and standard error over seeds) and ``rises``:
      whether the rise is more than ``STANDARD_ERRORS`` standard errors and a share of ``LEAST_RISE`` of the lowest
      mean.
    """
    if len(validation) < 2:
        return {"lowest": None, "rise": None, "rises": None}
    steps, values = list(validation), np.array(list(validation.values()))
    seeds, place = values.shape[1], int(values.mean(axis=1).argmin())
    lowest, last, floor = steps[place], steps[-1], float(values[place].mean())
    differences = values[-1] - values[_lowest_of_others(values), np.arange(seeds)]
    mean = float(differences.mean())
    error = float(differences.std(ddof=1) / math.sqrt(seeds)) if seeds > 1 else None
    rises = None if error is None else bool(mean > STANDARD_ERRORS * error and mean > LEAST_RISE * abs(floor))
    return {
        "lowest": {"step": lowest, "loss": floor},
        "rise": {"step": last, "mean": mean, "standard_error": error},
        "rises": rises,
    }


def _lowest_of_others(values: Float64[np.ndarray, "step seed"]) -> Int[np.ndarray, " seed"]:
    seeds = values.shape[1]
    others = (values.sum(axis=1, keepdims=True) - values) if seeds > 1 else values
    return others.argmin(axis=0)


def _gap(curves: Sequence[tuple[Run, Curve]]) -> dict[str, Any] | None:
    """Test less training loss at the step that was tested: the best checkpoint's where that was, else the last."""
    rows = [row for run, curve in curves if (row := _losses(run, curve))]
    # Losses of numbers are scaled in training, and have the labels' own unit in the test.
    if not rows or any(run.scores.accuracy is None for run, _ in curves):
        return None
    train, test = (np.array([row[i] for row in rows]) for i in (1, 2))
    estimate = mean_interval(test - train)
    return {
        "at": "best" if all(row[3] for row in rows) else "last",
        "steps": [row[0] for row in rows],
        "train": float(train.mean()),
        "test": float(test.mean()),
        "mean": estimate.mean,
        "interval": estimate.interval,
    }


def _losses(run: Run, curve: Curve) -> tuple[int, float, float, bool] | None:
    """Step, training loss, test loss, and whether it is the best checkpoint that they are of."""
    best = run.scores.best
    scores = best or run.scores
    told = run.summary.get("best") or {}
    last = max(curve.train, default=None)
    wanted = told.get("step", last) if best else last
    # The window that ends at the step, or the last kept before it.
    step = max((step for step in curve.train if step <= wanted), default=None) if wanted is not None else None
    loss = scores.value("loss")
    return None if step is None or loss is None else (step, curve.train[step], loss, best is not None)
