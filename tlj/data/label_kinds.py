"""What the labels of a source are: a class each (int32), a set of classes (int8, one column a class), or a number."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Int8, Num

Labels = Int[np.ndarray, " examples"] | Int8[np.ndarray, "examples classes"] | Float[np.ndarray, " examples"]

# So many stretches of like many examples, from the lowest numbers to the highest, take the place of classes.
BINS = 10


def are_sets(labels: Num[np.ndarray, "examples ..."]) -> bool:
    """Returns whether labels are sets of classes."""
    return labels.ndim == 2


def are_numbers(labels: Num[np.ndarray, "examples ..."]) -> bool:
    """Returns whether labels are numbers, of which no two need be alike."""
    return labels.dtype.kind == "f"


def as_held(labels: Num[np.ndarray, "examples ..."]) -> Labels:
    """Returns labels as batches hold them: int32 classes, int8 sets or float32 numbers."""
    if are_sets(labels):
        return np.asarray(labels, np.int8)
    return np.asarray(labels, np.float32 if are_numbers(labels) else np.int32)


def count_classes(labels: Num[np.ndarray, "examples ..."], classes: int) -> Int[np.ndarray, " classes"]:
    """Returns how many examples have each class, as their label or in their set.

    Args:
      labels: classes or sets.
      classes: how many there are.
    """
    return labels.sum(0, dtype=int) if are_sets(labels) else np.bincount(labels, minlength=classes)


def strata(labels: Num[np.ndarray, "examples ..."]) -> Int[np.ndarray, " examples"]:
    """Returns the stratum of every example, of which a fair part of the examples has its share.

    That of a class is the class. That of a set is its rarest class among these examples, the first of several, so that
    a class that few have is spread as evenly as one can be; an empty set is a stratum of its own. That of a number is
    its place among ``BINS`` stretches of like many examples; equal numbers are in the same.

    Args:
      labels: of the examples that are divided.
    """
    if are_numbers(labels):
        lower = np.searchsorted(np.sort(labels), labels)
        return (lower * BINS // max(len(labels), 1)).astype(np.int32)
    if not are_sets(labels):
        return labels
    rarity = np.where(labels > 0, labels.sum(0, dtype=int), len(labels) + 1)
    return np.where(labels.any(1), rarity.argmin(1), labels.shape[1]).astype(np.int32)
