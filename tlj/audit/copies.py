"""Which examples are copies of which: one grouping of all examples for each way of being the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

# Ways of being the same, the strictest first, and how each is said.
IDENTICAL, SAME_PIXELS, NORMALISED, NEAR, MIRRORED = "identical", "same pixels", "normalised", "near", "mirrored"
MEANINGS = {
    IDENTICAL: "the same bytes or the same text",
    SAME_PIXELS: "the same at 32 x 32 pixels, from files that differ",
    NORMALISED: "the same text but for case, Unicode form, punctuation and white space",
    NEAR: "nearly the same picture: re-coded, resized, brighter, or another shot of a series",
    MIRRORED: "nearly the mirror image",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Copies:
    """What is the same as what, in one way or in a stricter one.

    Attributes:
      kind: the way.
      groups: a number for every example; copies share it.
      partner: of every example, one in training that is a copy of it; -1 for none. Of a training example it may be
        itself.
      likeness: with the partner; 1 where they are the same.
      mirrored: whether the partner is its mirror image.
    """

    kind: str
    groups: Int[np.ndarray, " n"]
    partner: Int[np.ndarray, " n"]
    likeness: Float[np.ndarray, " n"]
    mirrored: Bool[np.ndarray, " n"]


def same_content(kind: str, fingerprints: Sequence[int] | np.ndarray, in_train: Bool[np.ndarray, " n"]) -> Copies:
    """Groups examples whose fingerprints are equal.

    Args:
      kind: the way of being the same that these fingerprints tell.
      fingerprints: below 2**64, one for each example.
      in_train: which examples are in training.
    """
    groups = np.unique(np.asarray(fingerprints, np.uint64), return_inverse=True)[1]
    first = np.full(groups.max(initial=-1) + 1, -1)
    train = np.flatnonzero(in_train)
    # Backwards, so that the first of each group is written last.
    first[groups[train[::-1]]] = train[::-1]
    count = len(groups)
    return Copies(kind, groups, first[groups], np.ones(count, np.float32), np.zeros(count, bool))
