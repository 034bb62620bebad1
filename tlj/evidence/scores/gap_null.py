"""How large a gap between groups chance alone makes: the largest less the smallest of several is never below zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

MOST_PERMUTATIONS, FEWEST_PERMUTATIONS = 999, 99
# Multiplications over all runs; beyond it fewer permutations are drawn.
MOST_WORK = 2e9
# Numbers held at once of which group each example is in.
_MOST_HELD = 2e7


@dataclass(frozen=True)
class GapNull:
    """Where an observed gap stands among those of shuffled groups.

    Attributes:
      mean: the mean gap of shuffled groups.
      p: the share of shufflings with at least the observed gap, one added to both counts (Phipson and Smyth 2010).
      permutations: how many were drawn.
    """

    mean: float
    p: float
    permutations: int


def gap_nulls(codes: Int[np.ndarray, " example"], cells: Sequence[Bool[np.ndarray, "seed example"]]) -> list[GapNull]:
    """Compares the gap in accuracy of each cell, a mean over its seeds, with that of groups shuffled over the examples.

    Every cell and every seed sees the same shufflings, so that what runs have in common stays in common.

    Args:
      codes: the group of every example, 0 to the number of groups less one, each with at least one example.
      cells: for each arm and label budget, whether each seed's run is right on every example.

    Returns:
      One null for each cell.
    """
    groups, runs = int(codes.max()) + 1, sum(len(cell) for cell in cells)
    count = permutation_count(len(codes), groups, runs)
    sizes = np.bincount(codes, minlength=groups)
    observed = [_gaps(_members(codes[None], sizes), cell, sizes)[0] for cell in cells]
    rng, drawn = np.random.default_rng(0), [[] for _ in cells]
    chunk = int(min(max(_MOST_HELD / (len(codes) * groups), 1), count))
    for begin in range(0, count, chunk):
        shuffled = rng.permuted(np.tile(codes, (min(chunk, count - begin), 1)), axis=1)
        members = _members(shuffled, sizes)
        for gaps, cell in zip(drawn, cells, strict=True):
            gaps.append(_gaps(members, cell, sizes))
    return [_null(seen, np.concatenate(gaps)) for seen, gaps in zip(observed, drawn, strict=True)]


def permutation_count(examples: int, groups: int, runs: int) -> int:
    """Returns how many shufflings are drawn: 999, or as many as a large comparison has the time for."""
    return int(min(max(MOST_WORK / max(examples * groups * runs, 1), FEWEST_PERMUTATIONS), MOST_PERMUTATIONS))


def _members(
    codes: Int[np.ndarray, "shuffling example"], sizes: Int[np.ndarray, " group"]
) -> list[Float32[np.ndarray, "shuffling example"]]:
    return [(codes == group).astype(np.float32) for group in range(len(sizes))]


def _gaps(
    members: Sequence[Float32[np.ndarray, "shuffling example"]],
    right: Bool[np.ndarray, "seed example"],
    sizes: Int[np.ndarray, " group"],
) -> Float64[np.ndarray, " shuffling"]:
    """The mean over seeds of the largest less the smallest accuracy of the groups, for each shuffling."""
    hits = right.astype(np.float32).T
    highest, lowest = -np.inf, np.inf
    for inside, size in zip(members, sizes, strict=True):
        # Counts below 2^24 are exact in float32.
        accuracy = (inside @ hits).astype(np.float64) / size
        highest, lowest = np.maximum(highest, accuracy), np.minimum(lowest, accuracy)
    return (highest - lowest).mean(axis=1)


def _null(observed: float, drawn: Float64[np.ndarray, " shuffling"]) -> GapNull:
    # Gaps are differences of ratios, whose equal values differ in their last bits.
    as_large = int(np.sum(drawn >= observed - 1e-12))
    return GapNull(float(drawn.mean()), (1 + as_large) / (1 + len(drawn)), len(drawn))
