"""Means with intervals, and the paired difference of two arms over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float64

CONFIDENCE = 0.95
MOST_EXACT_SEEDS = 20
RESAMPLES = 100_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its t interval; ``low`` and ``high`` are None with one seed."""

    mean: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> list[float] | None:
        """``[low, high]``, or None with one seed."""
        return None if self.low is None else [self.low, self.high]


@dataclass(frozen=True)
class PairedDifference:
    """An arm minus another arm, paired by seed.

    Args:
      estimate: the mean difference and its t interval.
      p: two-sided exact sign-flip p.
      p_floor: the smallest p that this many seeds can give.
      probability_of_improvement: the chance that a run of the arm beats a run of the other.
    """

    estimate: Estimate
    p: float
    p_floor: float
    probability_of_improvement: float


def mean_interval(values: Float64[np.ndarray, " seed"], confidence: float = CONFIDENCE) -> Estimate:
    """Returns the mean over seeds with its t interval, ``mean ± t(S-1)·s/√S``.

    Args:
      values: one value per seed.
      confidence: the coverage of the interval.

    Returns:
      The estimate; its interval is None with one seed.

    Raises:
      ValueError: there is no value.
    """
    values = np.asarray(values, np.float64)
    if values.size == 0:
        raise ValueError("a mean over no seeds")
    mean = float(values.mean())
    if values.size == 1:
        return Estimate(mean, None, None)
    quantile = scipy.stats.t.ppf(0.5 + confidence / 2, values.size - 1)
    half_width = float(quantile * values.std(ddof=1) / math.sqrt(values.size))
    return Estimate(mean, mean - half_width, mean + half_width)


def sign_flip_p(differences: Float64[np.ndarray, " seed"]) -> float:
    """Returns the two-sided p of the paired sign-flip test of a mean difference of zero.

    All sign patterns are enumerated up to 20 seeds; beyond that 100,000 are drawn from a fixed seed, with one added
    to both counts (Phipson and Smyth 2010).

    Args:
      differences: one paired difference per seed.

    Returns:
      The share of sign patterns whose sum is at least as far from zero as the observed one.

    Raises:
      ValueError: there is no difference.
    """
    differences = np.asarray(differences, np.float64)
    if differences.size == 0:
        raise ValueError("a test over no seeds")
    # Accuracies are ratios, so equal sums differ in their last bits: without a tolerance ties would be lost.
    observed = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if differences.size <= MOST_EXACT_SEEDS:
        return float(np.mean(np.abs(_signed_sums(differences)) >= observed))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(RESAMPLES, differences.size))
    return float((1 + np.sum(np.abs(signs @ differences) >= observed)) / (1 + RESAMPLES))


def _signed_sums(differences: Float64[np.ndarray, " seed"]) -> Float64[np.ndarray, " pattern"]:
    # The other half of the patterns mirrors this one, and a two-sided test counts both alike.
    sums = differences[:1]
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def sign_flip_floor(seeds: int) -> float:
    """Returns the smallest two-sided p a paired sign-flip test can give with this many seeds, ``2/2^S``."""
    return 2.0 / 2.0**seeds


def seeds_to_reach(p: float) -> int:
    """Returns the fewest seeds with which a paired sign-flip test can give a p of at most ``p``."""
    return next(seeds for seeds in range(1, 1100) if sign_flip_floor(seeds) <= p)


def probability_of_improvement(
    treated: Float64[np.ndarray, " treated"], control: Float64[np.ndarray, " control"]
) -> float:
    """Returns P(T > X), the Mann-Whitney U over ``n_T n_X``; ties count one half.

    Args:
      treated: one value per run of the arm.
      control: one value per run of the other arm.

    Returns:
      The chance that a run of the arm beats a run of the other (Bouthillier et al. 2021).
    """
    treated, control = np.asarray(treated)[:, None], np.asarray(control)[None, :]
    return float(np.mean((treated > control) + 0.5 * (treated == control)))


def paired_difference(treated: Float64[np.ndarray, " seed"], control: Float64[np.ndarray, " seed"]) -> PairedDifference:
    """Compares two arms whose runs are paired by seed.

    Args:
      treated: one value per seed.
      control: the other arm's values, seed by seed.

    Returns:
      The difference ``treated - control``.

    Raises:
      ValueError: the lengths differ, or there is no seed.
    """
    treated, control = np.asarray(treated, np.float64), np.asarray(control, np.float64)
    if treated.shape != control.shape:
        raise ValueError(f"{treated.size} runs cannot be paired with {control.size}")
    differences = treated - control
    return PairedDifference(
        mean_interval(differences),
        sign_flip_p(differences),
        sign_flip_floor(differences.size),
        probability_of_improvement(treated, control),
    )
