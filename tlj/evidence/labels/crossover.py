"""Negative transfer per label budget, and the number of labels where the sign of transfer changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.stats
from jaxtyping import Float64

from tlj.evidence.judging.statistics import CONFIDENCE
from tlj.evidence.judging.verdict import Verdicts

# Steps between two budgets, at each of which a test asks whether the difference there may be zero.
STEPS = 32
# Accuracies are ratios, so equal means differ in their last bits.
ROUNDING = 1e-12
_SIGNS = {1: "positive", 0: None, -1: "negative"}
GAINS_THEN_HURTS, HURTS_THEN_GAINS = "helps below, hurts above", "hurts below, helps above"

# What an arm's runs risk, by budget and seed: an error rate or a loss, lower is better.
Risks = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Crossover:
    """Where an arm and the twin change places.

    Args:
      arm: the arm.
      labels: the number of labels at which the difference is zero; None where it has one sign over all budgets.
      direction: which side helps; None with ``labels``.
      interval: the labels at which a difference of zero is not excluded, from the first to the last; None where zero is
        excluded everywhere, or with one seed.
      interval_open: whether the interval reaches the smallest and the largest budget, so that its true end may lie
        beyond.
      sign: of the difference where there is no crossover: ``positive``, ``negative``; None where there is one, or no
        difference.
    """

    arm: str
    labels: float | None
    direction: str | None
    interval: tuple[float, float] | None
    interval_open: tuple[bool, bool]
    sign: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns the row as it stands in ``summary.json``."""
        return {
            "arm": self.arm,
            "labels": self.labels,
            "direction": self.direction,
            "interval": None if self.interval is None else list(self.interval),
            "interval_open": list(self.interval_open),
            "sign": self.sign,
        }


def negative_transfer(verdicts: Verdicts, twin: str) -> list[dict[str, Any]]:
    """Returns the negative-transfer gap of every arm and budget: its risk minus the twin's (Wang et al. 2019).

    The risk is what the verdict judges, turned so that more is worse: the gap is the difference with its sign turned.

    Args:
      verdicts: every pair of arms.
      twin: the arm that starts from scratch.

    Returns:
      Rows with the ``gap``, its ``interval``, and ``negative``: true where the interval lies above zero, false where it
      lies below, else None.
    """
    rows = []
    for (arm, against, budget), row in verdicts.items():
        if against == twin:
            estimate = row.difference.estimate
            interval = None if estimate.interval is None else [0.0 - estimate.high, 0.0 - estimate.low]
            sign = None if interval is None else True if interval[0] > 0 else False if interval[1] < 0 else None
            rows.append(
                {"arm": arm, "budget": budget, "gap": 0.0 - estimate.mean, "interval": interval, "negative": sign}
            )
    return rows


def crossovers(risks: Mapping[str, Risks], twin: str, confidence: float = CONFIDENCE) -> list[Crossover]:
    """Finds where each arm and the twin change places.

    Args:
      risks: ``{arm: {budget: {seed: risk}}}``.
      twin: the arm that starts from scratch.
      confidence: the coverage of the intervals.

    Returns:
      A row per arm that has seeds in common with the twin at two budgets or more.
    """
    found = (crossover(arm, by_budget, risks[twin], confidence) for arm, by_budget in risks.items() if arm != twin)
    return [row for row in found if row is not None]


def crossover(arm: str, risks: Risks, twin: Risks, confidence: float = CONFIDENCE) -> Crossover | None:
    """Finds where a paired difference changes its sign along the label budgets.

    Between two budgets every run's risk follows a power law of the labels. The estimate is the zero of the mean
    difference, made monotone over the budgets (rising or falling, whichever is closer): noise alone then makes no
    second crossing. The interval holds every number of labels at which a paired t test over seeds does not exclude
    zero. So it needs no equal spread over budgets, and a seed, whose label subsets are nested, is whole in it.

    Args:
      arm: the arm.
      risks: its ``{budget: {seed: risk}}``, not negative, lower is better.
      twin: the same of the twin.
      confidence: the coverage of the interval.

    Returns:
      The crossover, or a row that says that there is none in range; None with fewer than two budgets in common.
    """
    paired = {b: sorted(set(risks[b]) & set(twin[b])) for b in sorted(set(risks) & set(twin))}
    budgets = [budget for budget, seeds in paired.items() if seeds]
    if len(budgets) < 2:
        return None
    means = np.array([np.mean([twin[b][seed] - risks[b][seed] for seed in paired[b]]) for b in budgets])
    means = np.where(np.abs(means) <= ROUNDING, 0.0, means)
    fitted = closest_monotone(means, np.array([len(paired[b]) for b in budgets], np.float64))
    stretches = [_stretch(risks, twin, left, right) for left, right in zip(budgets, budgets[1:], strict=False)]
    zero = _zero(stretches, fitted)
    held = [place for stretch in stretches for place in _not_excluded(stretch, confidence)]
    held += [zero] if zero is not None and held else []
    rises = np.log(budgets) - np.mean(np.log(budgets))
    return Crossover(
        arm=arm,
        labels=None if zero is None else _labels(zero),
        direction=None if zero is None else HURTS_THEN_GAINS if means @ rises > 0 else GAINS_THEN_HURTS,
        interval=(_labels(min(held)), _labels(max(held))) if held else None,
        interval_open=(math.log(budgets[0]) in held, math.log(budgets[-1]) in held),
        sign=_SIGNS[int(np.sign(means.sum()))] if zero is None else None,
    )


def closest_monotone(
    means: Float64[np.ndarray, " budget"], weights: Float64[np.ndarray, " budget"]
) -> Float64[np.ndarray, " budget"]:
    """Returns the closer of the rising and the falling isotonic regression."""
    fits = [scipy.optimize.isotonic_regression(means, weights=weights, increasing=up).x for up in (False, True)]
    return min(fits, key=lambda fit: float(np.sum(weights * (fit - means) ** 2)))


@dataclass(frozen=True)
class _Stretch:
    """Two neighbouring budgets: places between them in log labels, and each seed's difference there."""

    places: Float64[np.ndarray, " place"]
    differences: Float64[np.ndarray, "seed place"]


def _stretch(risks: Risks, twin: Risks, left: int, right: int) -> _Stretch:
    seeds = sorted(set(risks[left]) & set(risks[right]) & set(twin[left]) & set(twin[right]))
    share = np.linspace(0.0, 1.0, STEPS + 1)
    places = (1 - share) * math.log(left) + share * math.log(right)
    lines = [
        _between(twin[left][s], twin[right][s], share) - _between(risks[left][s], risks[right][s], share) for s in seeds
    ]
    return _Stretch(places, np.array(lines).reshape(len(seeds), share.size))


def _between(left: float, right: float, share: Float64[np.ndarray, " place"]) -> Float64[np.ndarray, " place"]:
    # A power law has no zero: a run without an error is joined by a line.
    if min(left, right) <= 0:
        return (1 - share) * left + share * right
    return left ** (1 - share) * right**share


def _zero(stretches: Sequence[_Stretch], fitted: Float64[np.ndarray, " budget"]) -> float | None:
    """Returns the place where the mean difference, moved to the fitted value at every budget, changes its sign."""
    side = 0.0
    for i, stretch in enumerate(stretches):
        left, right = fitted[i], fitted[i + 1]
        side = np.sign(left) or side
        if side * np.sign(right) >= 0:
            continue
        if left == 0 or not len(stretch.differences):
            return float(stretch.places[0])
        share, mean = np.linspace(0.0, 1.0, STEPS + 1), stretch.differences.mean(0)
        moved = mean + (1 - share) * (left - mean[0]) + share * (right - mean[-1])
        return _sign_changes(stretch.places, moved)[0]
    return None


def _not_excluded(stretch: _Stretch, confidence: float) -> list[float]:
    seeds = len(stretch.differences)
    if seeds < 2:
        return []
    mean = stretch.differences.mean(0)
    quantile = scipy.stats.t.ppf(0.5 + confidence / 2, seeds - 1)
    slack = quantile * stretch.differences.std(0, ddof=1) / math.sqrt(seeds) - np.abs(mean)
    ends = _sign_changes(stretch.places, slack)
    return [*stretch.places[slack >= 0].tolist(), *ends, *_sign_changes(stretch.places, mean)]


def _sign_changes(places: Float64[np.ndarray, " place"], values: Float64[np.ndarray, " place"]) -> list[float]:
    at = np.flatnonzero((values[:-1] * values[1:] <= 0) & (values[:-1] != 0))
    share = values[at] / (values[at] - values[at + 1])
    return (places[at] + share * (places[at + 1] - places[at])).tolist()


def _labels(log_labels: float) -> float:
    # The exponential of a logarithm is a few last bits off the budget that it came from.
    return float(f"{math.exp(log_labels):.12g}")
