"""The area under the learning curve: one number for an arm over all label budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlj.evidence.judging.statistics import CONFIDENCE, Estimate, PairedDifference, mean_interval, paired_difference

# An arm's metric by budget and seed.
Curves = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Area:
    """The mean height of an arm's learning curve over log labels.

    Args:
      arm: the arm.
      budgets: the budgets that it spans.
      seeds: the seeds that have finished at every one of them.
      estimate: the area over the range, in the unit of the metric, with a t interval over seeds.
      difference: the arm's area minus the twin's over the budgets and seeds of both; None for the twin.
    """

    arm: str
    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    estimate: Estimate
    difference: PairedDifference | None

    def to_json(self) -> dict[str, Any]:
        """Returns the row as it stands in ``summary.json``."""
        difference = self.difference
        return {
            "arm": self.arm,
            "budgets": list(self.budgets),
            "seeds": list(self.seeds),
            "mean": self.estimate.mean,
            "interval": self.estimate.interval,
            "difference": None if difference is None else difference.estimate.mean,
            "difference_interval": None if difference is None else difference.estimate.interval,
            "p_t": None if difference is None else difference.p_t,
        }


def areas(
    curves: Mapping[str, Curves], twin: str, confidence: float = CONFIDENCE, lower_is_better: bool = False
) -> list[Area]:
    """Returns the area under every arm's learning curve, ``∫ M d(log D) / range``.

    A seed gives one area, so intervals over seeds need no assumption on how budgets vary together.

    Args:
      curves: ``{arm: {budget: {seed: metric}}}``.
      twin: the arm that the others are compared with.
      confidence: the coverage of the intervals.
      lower_is_better: whether the metric is a loss; differences are then turned, positive where the arm is better.

    Returns:
      A row per arm with two budgets or more and a seed that has finished at all of them.
    """
    rows = []
    sign = -1.0 if lower_is_better else 1.0
    for arm, curve in curves.items():
        budgets = _budgets(curve)
        seeds = _complete(curve, budgets)
        if len(budgets) < 2 or not seeds:
            continue
        estimate = mean_interval(_areas(curve, budgets, seeds), confidence)
        difference = None
        if arm != twin and twin in curves:
            both = [budget for budget in budgets if budget in _budgets(curves[twin])]
            shared = sorted(set(_complete(curve, both)) & set(_complete(curves[twin], both)))
            if len(both) > 1 and shared:
                arms = (sign * _areas(of, both, shared) for of in (curve, curves[twin]))
                difference = paired_difference(*arms, confidence)
        rows.append(Area(arm, tuple(budgets), tuple(seeds), estimate, difference))
    return rows


def _budgets(curve: Curves) -> list[int]:
    return sorted(budget for budget, values in curve.items() if values)


def _complete(curve: Curves, budgets: Sequence[int]) -> list[int]:
    return sorted(set.intersection(*(set(curve[budget]) for budget in budgets))) if budgets else []


def _areas(curve: Curves, budgets: Sequence[int], seeds: Sequence[int]) -> np.ndarray:
    log_labels = np.log(budgets)
    heights = np.array([[curve[budget][seed] for budget in budgets] for seed in seeds])
    return np.trapezoid(heights, log_labels, axis=1) / (log_labels[-1] - log_labels[0])
