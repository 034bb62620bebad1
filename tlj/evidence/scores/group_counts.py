"""What one run reached in each group of its test set, as counts: no logits are kept."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Integer, UInt8

from tlj.evidence.predictions import CLASSES, Predictions


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of a test set; runs that were scored on the same examples share one.

    Attributes:
      names: of the groups, sorted.
      codes: index into the names of every test example, in the order of their ids; -1 where it has no group.
      labelled: examples of each class in each group.
    """

    names: tuple[str, ...]
    codes: Int[np.ndarray, " example"]
    labelled: Int[np.ndarray, "group class"]

    @property
    def sizes(self) -> Int[np.ndarray, " group"]:
        """The number of examples in each group."""
        return self.labelled.sum(axis=1)


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """What one run said of the examples of each group.

    Attributes:
      grouping: of the test set.
      said: examples of each group that were put into each class; one whose logits are not finite is put into none.
      hits: those of them that are of the class.
      right: whether every test example was put into its class, eight to a byte (``np.packbits``).
    """

    grouping: Grouping
    said: Int[np.ndarray, "group class"]
    hits: Int[np.ndarray, "group class"]
    right: UInt8[np.ndarray, " byte"]

    @property
    def accuracy(self) -> Float64[np.ndarray, " group"]:
        """The share of each group that was put into its class."""
        return self.hits.sum(axis=1) / self.grouping.sizes

    @property
    def true_positive_rates(self) -> Float64[np.ndarray, "group class"]:
        """Of the examples of each class, the share put into it; NaN where a group has none."""
        return _ratio(self.hits, self.grouping.labelled)

    @property
    def false_positive_rates(self) -> Float64[np.ndarray, "group class"]:
        """Of the examples of every other class, the share put into this one; NaN where a group has none."""
        others = self.grouping.sizes[:, None] - self.grouping.labelled
        return _ratio(self.said - self.hits, others)

    @property
    def selection_rates(self) -> Float64[np.ndarray, "group class"]:
        """The share of each group that was put into each class."""
        return _ratio(self.said, np.broadcast_to(self.grouping.sizes[:, None], self.said.shape))

    def unpacked(self) -> Bool[np.ndarray, " example"]:
        """Returns whether every test example was put into its class."""
        return np.unpackbits(self.right, count=len(self.grouping.codes)).astype(bool)


def group_counts(test: Predictions) -> GroupCounts | None:
    """Folds the predictions of a run into counts by group.

    Args:
      test: the test split.

    Returns:
      The counts; None where no example has a group, or an example does not have one class.
    """
    if test.kind != CLASSES or test.groups is None or test.groups.null_count == len(test.groups):
        return None
    classes = test.logits.shape[1]
    coded = test.groups.dictionary_encode()
    found = coded.dictionary.to_pylist()
    names = tuple(sorted(found))
    place = np.array([names.index(name) for name in found], np.int32)
    indices = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    codes = np.where(indices < 0, -1, place[indices]).astype(np.int32)
    grouping = _shared(names, codes.tobytes(), np.asarray(test.labels, np.int32).tobytes(), classes)
    finite = np.isfinite(test.logits).all(axis=1)
    said = np.argmax(test.logits, axis=1)
    right = finite & (said == test.labels)
    grouped = codes >= 0
    return GroupCounts(
        grouping,
        _counted(codes, said, grouped & finite, (len(names), classes)),
        _counted(codes, said, grouped & right, (len(names), classes)),
        np.packbits(right),
    )


@functools.lru_cache(maxsize=4)
def _shared(names: tuple[str, ...], codes: bytes, labels: bytes, classes: int) -> Grouping:
    """One object for all runs on the same test set: thousands of them would each hold the codes again."""
    of, target = np.frombuffer(codes, np.int32), np.frombuffer(labels, np.int32)
    return Grouping(names, of, _counted(of, target, of >= 0, (len(names), classes)))


def _counted(
    codes: Integer[np.ndarray, " example"],
    classes: Integer[np.ndarray, " example"],
    which: Bool[np.ndarray, " example"],
    shape: tuple[int, int],
) -> Int[np.ndarray, "group class"]:
    flat = codes[which].astype(np.int64) * shape[1] + classes[which]
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int32)


def _ratio(part: Int[np.ndarray, "group class"], whole: Int[np.ndarray, "group class"]) -> Float64[np.ndarray, "..."]:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
