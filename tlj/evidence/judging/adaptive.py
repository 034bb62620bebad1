"""Two looks at a comparison: a few seeds everywhere, more only where the interval straddles zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.stats

from tlj.errors import InputError
from tlj.evidence.judging.statistics import CONFIDENCE, PairedDifference

DRAWS_LOG2 = 17


@dataclass(frozen=True)
class SeedsRule:
    """How many seeds a cell gets, fixed before the first run.

    Args:
      first: the seeds of every cell.
      most: the seeds of a cell whose interval straddles zero after ``first``.
      confidence: the coverage of the interval at each look.
    """

    first: int
    most: int
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """Returns the rule as it stands in ``comparison.json``."""
        return {"first": self.first, "most": self.most, "confidence": self.confidence}


def seeds_rule(first: int, most: int) -> SeedsRule:
    """Returns the rule of two looks whose false verdicts stay within 5 % over both.

    Args:
      first: the seeds of every cell, at least 2 where ``most`` is more.
      most: the seeds of an undecided cell.

    Returns:
      The rule; one look at 95 % where ``most`` is no more than ``first``.

    Raises:
      InputError: a second look is asked for after fewer than two seeds.
    """
    return SeedsRule(first, max(first, most), look_confidence(first, most))


def declared_confidence(declared: Mapping[str, Any]) -> float:
    """Returns the confidence of the verdicts' intervals: of the declared rule of seeds, 0.95 where there is none."""
    return float((declared.get("seeds_rule") or {}).get("confidence") or CONFIDENCE)


@lru_cache
def look_confidence(first: int, most: int) -> float:
    """Returns the coverage each of two looks needs for one chance in twenty of a false difference over both.

    The same level at both looks, as Pocock (1977) has it, here for t statistics with ``first - 1`` and ``most - 1``
    degrees of freedom, the second computed from all seeds of the first. The smaller of the two p values is drawn
    without a difference, from a quasi-random sequence with a fixed seed, and its 5 % point is the level of a look.
    Wherever the truth lies, the interval of the last look taken misses it in at most 5 % of comparisons, because
    either look alone would have to.

    Args:
      first: the seeds at the first look.
      most: the seeds at the second, of which the first are a part.

    Returns:
      The two-sided confidence of a look; 0.95 where there is no second.

    Raises:
      InputError: a second look is asked for after fewer than two seeds.
    """
    if most <= first:
        return CONFIDENCE
    if first < 2:
        raise InputError(
            f"{first} seed gives no interval to decide on more seeds by", where="seeds.first", do="ask for at least 2"
        )
    p = np.minimum(*_null_ps(first, most))
    return math.ceil(1e4 * (1.0 - float(np.quantile(p, 1.0 - CONFIDENCE)))) / 1e4


def _null_ps(first: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    more = most - first
    uniform = scipy.stats.qmc.Sobol(4, rng=np.random.default_rng(0)).random_base2(DRAWS_LOG2)
    uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
    mean_first = scipy.stats.norm.ppf(uniform[:, 0]) / np.sqrt(first)
    mean_more = scipy.stats.norm.ppf(uniform[:, 1]) / np.sqrt(more)
    squares_first = scipy.stats.chi2.ppf(uniform[:, 2], first - 1)
    squares_more = scipy.stats.chi2.ppf(uniform[:, 3], more - 1) if more > 1 else 0.0
    mean = (first * mean_first + more * mean_more) / most
    squares = squares_first + squares_more + first * more / most * (mean_first - mean_more) ** 2
    return _p(mean_first, squares_first, first), _p(mean, squares, most)


def _p(mean: np.ndarray, squares: np.ndarray, seeds: int) -> np.ndarray:
    return 2 * scipy.stats.t.sf(np.abs(mean) / np.sqrt(squares / (seeds - 1) / seeds), seeds - 1)


def needs_more(difference: PairedDifference, rule: SeedsRule) -> bool:
    """Returns whether a cell gets its second look.

    Args:
      difference: the paired difference to the twin over the seeds run so far, its interval at ``rule.confidence``.
      rule: the declared rule.

    Returns:
      Whether the interval straddles zero (or does not exist) and the cell has fewer than ``rule.most`` seeds.
    """
    estimate = difference.estimate
    straddles = estimate.low is None or estimate.high is None or estimate.low <= 0.0 <= estimate.high
    return len(difference.values) < rule.most and straddles
