"""Whether scores of inits before training rank them as their results after it do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import weightedtau

FEWEST_POINTS = 3


def ranking_agreement(scores: Sequence[float | None], results: Sequence[float | None]) -> float | None:
    """Returns the weighted Kendall tau of scores and results, in which mistakes at the top weigh most.

    Args:
      scores: of each init, higher is better; None where there is none.
      results: of the same inits, higher is better.

    Returns:
      From -1 to 1 (Vigna 2015, arXiv:1404.3325); None with fewer than three points, or where all are alike.
    """
    points = [pair for pair in zip(scores, results, strict=True) if None not in pair]
    if len(points) < FEWEST_POINTS or any(len(set(values)) < 2 for values in zip(*points, strict=True)):
        return None
    tau = float(weightedtau(*zip(*points, strict=True)).statistic)
    return tau if math.isfinite(tau) else None
