"""Means with intervals, and the paired difference of two arms over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.stats
from jaxtyping import Float64, Int8

CONFIDENCE = 0.95
MOST_EXACT_SEEDS = 20
RESAMPLES = 20_000


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
      p_t: two-sided p of the paired t test; None with one seed.
      values: the differences, seed by seed.
    """

    estimate: Estimate
    p: float
    p_floor: float
    probability_of_improvement: float
    p_t: float | None = None
    values: tuple[float, ...] = ()


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
    half_width = float(_t_quantile(confidence, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size))
    return Estimate(mean, mean - half_width, mean + half_width)


@lru_cache(maxsize=1024)
def _t_quantile(confidence: float, freedom: int) -> float:
    return float(scipy.stats.t.ppf(0.5 + confidence / 2, freedom))


def t_p(differences: Float64[np.ndarray, " seed"]) -> float | None:
    """Returns the two-sided p of the t test of a mean difference of zero, the p that belongs to ``mean_interval``.

    Args:
      differences: one paired difference per seed.

    Returns:
      The p; None with one seed or where a difference is not finite. Differences that are all the same give 0, or 1
      where they are zero.
    """
    differences = np.asarray(differences, np.float64)
    if differences.size < 2 or not np.isfinite(differences).all():
        return None
    mean, error = abs(differences.mean()), differences.std(ddof=1) / math.sqrt(differences.size)
    if error <= 1e-15 * mean or error == 0:
        return 0.0 if mean > 0 else 1.0
    return float(2 * scipy.stats.t.sf(mean / error, differences.size - 1))


def sign_flip_p(differences: Float64[np.ndarray, " seed"]) -> float:
    """Returns the two-sided p of the paired sign-flip test of a mean difference of zero.

    All sign patterns are enumerated up to 20 seeds; beyond that 20,000 are drawn from a fixed seed, with one added
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
        return _exact_share(differences, observed)
    sums = np.concatenate([block.astype(np.float64) @ differences for block in _drawn_signs(differences.size)])
    return float((1 + np.sum(np.abs(sums) >= observed)) / (1 + RESAMPLES))


def _exact_share(differences: Float64[np.ndarray, " seed"], observed: float) -> float:
    """The share of sign patterns that reach the observed sum, counted without forming every pair of half patterns."""
    # The patterns that flip the first sign mirror these, and a two-sided test counts both alike.
    half = (differences.size + 1) // 2
    first, second = _signed_sums(differences[:1], differences[1:half]), _signed_sums(np.zeros(1), differences[half:])
    second.sort()
    above = second.size - np.searchsorted(second, observed - first, side="left")
    below = np.searchsorted(second, -observed - first, side="right")
    # Where the observed sum is zero every pattern reaches it, and one at zero from both sides.
    return float(min((above + below).sum() / (first.size * second.size), 1.0))


@lru_cache(maxsize=4)
def _drawn_signs(seeds: int) -> list[Int8[np.ndarray, "pattern seed"]]:
    signs = np.random.default_rng(0).integers(0, 2, (RESAMPLES, seeds), dtype=np.int8) * np.int8(2) - np.int8(1)
    return np.array_split(signs, 20)


def _signed_sums(
    sums: Float64[np.ndarray, " pattern"], differences: Float64[np.ndarray, " seed"]
) -> Float64[np.ndarray, " pattern"]:
    for difference in differences:
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
    treated, control = np.asarray(treated), np.sort(control)
    beaten, tied = (np.searchsorted(control, treated, side=side) for side in ("left", "right"))
    return float((beaten + tied).sum() / (2 * treated.size * control.size))


def paired_difference(
    treated: Float64[np.ndarray, " seed"], control: Float64[np.ndarray, " seed"], confidence: float = CONFIDENCE
) -> PairedDifference:
    """Compares two arms whose runs are paired by seed.

    Args:
      treated: one value per seed.
      control: the other arm's values, seed by seed.
      confidence: the coverage of the interval.

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
        mean_interval(differences, confidence),
        sign_flip_p(differences),
        sign_flip_floor(differences.size),
        probability_of_improvement(treated, control),
        t_p(differences),
        tuple(differences.tolist()),
    )
