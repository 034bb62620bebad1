"""The few lengths that sequences are padded to: each is compiled once, and together they waste least."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def choose_lengths(lengths: Int[np.ndarray, " examples"], count: int) -> tuple[int, ...]:
    """Returns the lengths that waste the fewest tokens, each sequence padded to the shortest that covers it.

    They are exact, by dynamic programming over the histogram: the best ``k`` lengths that end at a length ``m`` are the
    best ``k - 1`` that end somewhere below it, and ``m``. The last is the longest sequence.

    Args:
      lengths: tokens of each sequence, at least one sequence.
      count: of the lengths; fewer where there are not so many different ones.

    Returns:
      The lengths in tokens, increasing.
    """
    candidates, examples = np.unique(lengths, return_counts=True)
    count = min(count, len(candidates))
    below = np.concatenate([[0], np.cumsum(examples)])
    # Padded tokens of everything below the end-th candidate at best, and which candidate comes before the last chosen.
    padded = np.full((count + 1, len(candidates) + 1), np.iinfo(np.int64).max // 2)
    padded[0, 0] = 0
    before = np.zeros((count + 1, len(candidates) + 1), np.int64)
    for end in range(1, len(candidates) + 1):
        options = padded[:-1, :end] + candidates[end - 1] * (below[end] - below[:end])
        before[1:, end] = options.argmin(axis=1)
        padded[1:, end] = options.min(axis=1)
    chosen, end = [], len(candidates)
    for used in range(count, 0, -1):
        chosen.append(int(candidates[end - 1]))
        end = before[used, end]
    return tuple(reversed(chosen))


def padding_share(real: int, padded: int) -> float:
    """Returns the share of tokens that are padding.

    Args:
      real: tokens of the sequences.
      padded: tokens of the arrays that hold them.
    """
    return 1 - real / padded
