"""The verdict on a paired difference, and the paired comparison of two arms that it is given on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlj.evidence.judging.adaptive import declared_confidence
from tlj.evidence.judging.holm import holm
from tlj.evidence.judging.power import more_seeds
from tlj.evidence.judging.statistics import CONFIDENCE, Estimate, PairedDifference, mean_interval, paired_difference
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import oriented

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
      margin: the margin it was judged against.
      confidence: the coverage of the interval it was judged by.
      p_holm: the t test's p, corrected for all arms against the twin at this budget; None for other pairs.
      verdict_holm: the verdict that an interval at the corrected level carries; None for other pairs.
    """

    arm: str
    against: str
    budget: int
    seeds: tuple[int, ...]
    difference: PairedDifference
    verdict: str
    margin: float
    confidence: float = CONFIDENCE
    p_holm: float | None = None
    verdict_holm: str | None = None

    @property
    def survives(self) -> bool:
        """Whether the verdict is the same after the correction, or was not corrected."""
        return self.verdict_holm in (None, self.verdict)

    @property
    def more_seeds(self) -> int | None:
        """How many more seeds would probably decide an undecided verdict; 101 stands for more than 100."""
        if self.verdict != "undecided" or len(self.seeds) < 2:
            return None
        values = np.array(self.difference.values)
        return more_seeds(values.mean(), values.std(ddof=1), len(self.seeds), self.margin, self.confidence)

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
            "p_t": self.difference.p_t,
            "p_holm": self.p_holm,
            "verdict_holm": self.verdict_holm,
            "more_seeds": self.more_seeds,
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
    """Compares two arms at one label budget over the seeds that both have finished, so that more is better.

    What is compared is the metric that the comparison is judged by; of a loss the difference is that of its negative.

    Args:
      comparison: the runs.
      arm: the arm.
      against: the arm to compare it with.
      budget: the label budget.

    Returns:
      The paired comparison, or None where no seed is finished in both arms.
    """
    treated, control = oriented(comparison, arm, budget), oriented(comparison, against, budget)
    seeds = tuple(sorted(set(treated) & set(control)))
    if not seeds:
        return None
    confidence = declared_confidence(comparison.declared)
    difference = paired_difference(
        np.array([treated[seed] for seed in seeds]),
        np.array([control[seed] for seed in seeds]),
        confidence,
    )
    margin = float(comparison.declared["margin"])
    judged = verdict(difference.estimate, margin)
    return PairVerdict(arm, against, budget, seeds, difference, judged, margin, confidence)


def all_verdicts(comparison: Comparison) -> Verdicts:
    """Returns every ordered pair of arms at every label budget that has a finished seed in both.

    Those against the twin also carry Holm's correction: all arms at one budget are a family.
    """
    names = [arm.name for arm in comparison.arms]
    rows = (
        compare_arms(comparison, arm, against, budget)
        for budget in comparison.budgets
        for arm in names
        for against in names
        if arm != against
    )
    verdicts = {(row.arm, row.against, row.budget): row for row in rows if row is not None}
    for budget in comparison.budgets:
        family = [key for key in verdicts if key[1:] == (comparison.twin, budget)]
        verdicts |= zip(family, corrected([verdicts[key] for key in family]), strict=True)
    return verdicts


def corrected(family: Sequence[PairVerdict]) -> list[PairVerdict]:
    """Returns the verdicts of a family with Holm's correction beside each.

    Args:
      family: every arm against the twin at one label budget; those of one seed have no p and stay out of the family.

    Returns:
      The same verdicts in the same order, with ``p_holm`` and ``verdict_holm``.
    """
    tested = [row for row in family if row.difference.p_t is not None]
    by_arm = {}
    if tested:
        level = 1.0 - tested[0].confidence
        for row, test in zip(tested, holm([row.difference.p_t for row in tested], level), strict=True):
            estimate = mean_interval(np.array(row.difference.values), 1.0 - level / test.tests)
            by_arm[row.arm] = replace(row, p_holm=test.p, verdict_holm=verdict(estimate, row.margin))
    return [by_arm.get(row.arm, row) for row in family]
