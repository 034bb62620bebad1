"""The verdict on a paired difference, and the paired comparison of two arms that it is given on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlj.evidence.judging.statistics import Estimate, PairedDifference, paired_difference
from tlj.evidence.runs import Comparison

MEANINGS = {
    "helps": "the interval lies above zero and the difference reaches the margin",
    "helps-small": "the interval lies above zero but the difference is under the margin",
    "hurts": "the interval lies below zero",
    "equivalent": "the whole interval lies within the margin on both sides of zero",
    "undecided": "none of these: the data do not carry an answer",
}
HELPS = ("helps", "helps-small")
# Accuracies are ratios, so a difference of exactly the margin comes out a few last bits under it or over it.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class PairVerdict:
    """Two arms at one label budget, paired by seed.

    Args:
      arm: the arm.
      against: the arm it is compared with.
      budget: the label budget.
      seeds: the seeds that both arms have finished.
      difference: ``arm - against``.
      verdict: one of ``MEANINGS``.
    """

    arm: str
    against: str
    budget: int
    seeds: tuple[int, ...]
    difference: PairedDifference
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Returns the row as it stands in ``summary.json``."""
        return {
            "arm": self.arm,
            "against": self.against,
            "budget": self.budget,
            "seeds": list(self.seeds),
            "verdict": self.verdict,
            "difference": self.difference.estimate.mean,
            "interval": self.difference.estimate.interval,
            "p": self.difference.p,
            "p_floor": self.difference.p_floor,
            "probability_of_improvement": self.difference.probability_of_improvement,
        }


Verdicts = Mapping[tuple[str, str, int], PairVerdict]


def verdict(estimate: Estimate, margin: float) -> str:
    """Judges a difference against a margin that was declared before the runs.

    The rules are read in this order, and the first that holds is the verdict: ``helps`` (interval above zero,
    difference at least the margin), ``hurts`` (interval below zero), ``equivalent`` (interval inside the margin on
    both sides: two one-sided tests), ``helps-small`` (interval above zero, difference under the margin), else
    ``undecided``. Without an interval every difference is undecided.

    Args:
      estimate: the mean difference and its interval, in the unit of the margin.
      margin: the smallest difference that matters, positive.

    Returns:
      One of the names in ``MEANINGS``.
    """
    if estimate.low is None or estimate.high is None:
        return "undecided"
    if estimate.low > 0 and estimate.mean >= margin - TOLERANCE:
        return "helps"
    if estimate.high < 0:
        return "hurts"
    if -margin < estimate.low and estimate.high < margin:
        return "equivalent"
    if estimate.low > 0:
        return "helps-small"
    return "undecided"


def compare_arms(comparison: Comparison, arm: str, against: str, budget: int) -> PairVerdict | None:
    """Compares the accuracy of two arms at one label budget over the seeds that both have finished.

    Args:
      comparison: the runs.
      arm: the arm.
      against: the arm to compare it with.
      budget: the label budget.

    Returns:
      The paired comparison, or None where no seed is finished in both arms.
    """
    treated, control = comparison.cell(arm, budget), comparison.cell(against, budget)
    seeds = tuple(sorted(set(treated) & set(control)))
    if not seeds:
        return None
    difference = paired_difference(
        np.array([treated[seed].accuracy for seed in seeds]), np.array([control[seed].accuracy for seed in seeds])
    )
    margin = float(comparison.declared["margin"])
    return PairVerdict(arm, against, budget, seeds, difference, verdict(difference.estimate, margin))


def all_verdicts(comparison: Comparison) -> Verdicts:
    """Returns every ordered pair of arms at every label budget that has a finished seed in both."""
    names = [arm.name for arm in comparison.arms]
    rows = (
        compare_arms(comparison, arm, against, budget)
        for budget in comparison.budgets
        for arm in names
        for against in names
        if arm != against
    )
    return {(row.arm, row.against, row.budget): row for row in rows if row is not None}
