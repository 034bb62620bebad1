"""How many seeds a verdict would take: the power of the paired t test, from the noncentral t distribution."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float64, Integer

from tlj.evidence.judging.statistics import CONFIDENCE

POWER = 0.8
MOST_MORE = 100


def chance_to_exclude_zero(
    seeds: Integer[np.ndarray, " n"], effect: float, confidence: float = CONFIDENCE
) -> Float64[np.ndarray, " n"]:
    """Returns the chance that the t interval of a mean paired difference excludes zero.

    Args:
      seeds: numbers of seeds, each at least 2.
      effect: the true mean difference over the standard deviation of the differences.
      confidence: the coverage of the interval.

    Returns:
      The power, per number of seeds.
    """
    freedom = np.asarray(seeds) - 1
    quantile = scipy.stats.t.ppf(0.5 + confidence / 2, freedom)
    centre = abs(effect) * np.sqrt(freedom + 1)
    return _above(quantile, freedom, centre) + _above(quantile, freedom, -centre)


def chance_of_equivalence(
    seeds: Integer[np.ndarray, " n"], effect: float, margin: float, confidence: float = CONFIDENCE
) -> Float64[np.ndarray, " n"]:
    """Returns a lower bound on the chance that the t interval lies within a margin on both sides of zero.

    Args:
      seeds: numbers of seeds, each at least 2.
      effect: the true mean difference over the standard deviation of the differences.
      margin: the margin over the same standard deviation.
      confidence: the coverage of the interval.

    Returns:
      The power of the two one-sided tests less their overlap, which is none where the power is large.
    """
    freedom = np.asarray(seeds) - 1
    quantile = scipy.stats.t.ppf(0.5 + confidence / 2, freedom)
    root = np.sqrt(freedom + 1)
    above = _above(quantile, freedom, (margin + effect) * root)
    below = _above(quantile, freedom, (margin - effect) * root)
    return np.maximum(above + below - 1.0, 0.0)


def _above(quantile: np.ndarray, freedom: np.ndarray, centre: np.ndarray) -> np.ndarray:
    # Far from the quantile the noncentral t underflows to NaN; there the answer is plain.
    centre = np.clip(centre, -35.0, 35.0)
    chance = scipy.stats.nct.sf(quantile, freedom, centre)
    return np.where(np.isfinite(chance), chance, (centre > quantile).astype(np.float64))


def seeds_for_power(
    effect: float, power: float = POWER, confidence: float = CONFIDENCE, most: int = 1000
) -> int | None:
    """Returns the fewest seeds with which a paired t test finds an effect with the given power.

    Args:
      effect: the true mean difference over the standard deviation of the differences.
      power: the chance to find it.
      confidence: one minus the level of the test.
      most: the largest number of seeds tried.

    Returns:
      The number of seeds, or None where more than ``most`` are needed.
    """
    seeds = np.arange(2, most + 1)
    return _first(seeds, chance_to_exclude_zero(seeds, effect, confidence) >= power)


def more_seeds(mean: float, deviation: float, seeds: int, margin: float, confidence: float = CONFIDENCE) -> int | None:
    """Returns how many more seeds would probably decide what is undecided: the interval off zero, or in the margin.

    The observed mean and deviation are taken for the truth, so this is a guess, and a poor one from few seeds.

    Args:
      mean: the observed mean difference.
      deviation: the observed standard deviation of the differences.
      seeds: the seeds that there are.
      margin: the margin of the verdict, in the unit of the mean.
      confidence: the coverage of the interval.

    Returns:
      At least 1; ``MOST_MORE + 1`` stands for more than ``MOST_MORE``; None with fewer than two seeds.
    """
    if seeds < 2 or not math.isfinite(deviation) or deviation <= 0:
        return None
    wanted = np.arange(seeds + 1, seeds + MOST_MORE + 1)
    effect = mean / deviation
    decided = chance_to_exclude_zero(wanted, effect, confidence) >= POWER
    decided |= chance_of_equivalence(wanted, effect, margin / deviation, confidence) >= POWER
    return (_first(wanted, decided) or seeds + MOST_MORE + 1) - seeds


def _first(seeds: Integer[np.ndarray, " n"], enough: Bool[np.ndarray, " n"]) -> int | None:
    return int(seeds[np.argmax(enough)]) if enough.any() else None
