"""Scores of different data sets on one scale: 0 is chance, 1 is the best there can be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import judged, metric_of

_CORRELATIONS = ("r2", "pearson", "spearman")
_OF_ONE_CLASS_IN_K = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Scale:
    """What counts as nothing and as everything on a data set.

    Args:
      chance: the metric of guessing.
      ceiling: the best value that the metric can take.
    """

    chance: float
    ceiling: float

    def __call__(self, value: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Returns ``(M - chance) / (ceiling - chance)`` (Agarwal et al. 2021); below 0 is worse than guessing."""
        return (value - self.chance) / (self.ceiling - self.chance)


def scale_of(comparison: Comparison) -> Scale | None:
    """Returns the scale of a comparison: its declared ``normalise``, or what its metric and classes give.

    Guessing is right once in K among K classes and loses log K nats; the area under the ROC curve is then one half. F1
    and mean average precision count from zero, because what guessing gives there depends on how common each class is.

    Args:
      comparison: the runs.

    Returns:
      The scale, or None where nothing says what chance or the ceiling is (a root mean squared error, say).
    """
    declared = comparison.declared.get("normalise") or {}
    if "chance" in declared and "ceiling" in declared:
        scale = Scale(float(declared["chance"]), float(declared["ceiling"]))
        return scale if scale.ceiling != scale.chance else None
    name, classes = metric_of(comparison).name, _classes(comparison)
    if name in _CORRELATIONS:
        return Scale(0.0, 1.0)
    if name == "auroc":
        return Scale(0.5, 1.0)
    if classes and classes > 1:
        if name in _OF_ONE_CLASS_IN_K:
            return Scale(1 / classes, 1.0)
        if name in ("nll", "brier"):
            return Scale(math.log(classes) if name == "nll" else 1 - 1 / classes, 0.0)
    return Scale(0.0, 1.0) if metric_of(comparison).is_share and name not in _OF_ONE_CLASS_IN_K else None


def _classes(comparison: Comparison) -> int | None:
    summary: Mapping[str, Any] = comparison.runs[0].summary if comparison.runs else {}
    return len(summary.get("classes") or ()) or None


def normalised_scores(
    comparison: Comparison, arm: str, scale: Scale
) -> tuple[tuple[int, ...], dict[int, Float64[np.ndarray, " budget"]]]:
    """Returns an arm's normalised scores, run by run.

    Args:
      comparison: the runs.
      arm: the arm.
      scale: what chance and the ceiling are.

    Returns:
      The label budgets at which the arm has runs, and ``{seed: score per budget}`` of the seeds that have finished at
      all of them.
    """
    cells = {budget: judged(comparison, arm, budget) for budget in comparison.budgets}
    budgets = tuple(budget for budget, runs in cells.items() if runs)
    seeds = sorted(set.intersection(*(set(cells[budget]) for budget in budgets))) if budgets else []
    lines = {seed: scale(np.array([cells[budget][seed] for budget in budgets], np.float64)) for seed in seeds}
    return budgets, {seed: line for seed, line in lines.items() if np.isfinite(line).all()}
