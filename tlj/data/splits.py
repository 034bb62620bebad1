"""Who is tested, who may be labelled, and which labels a budget buys: stratified, nested and written down."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from tlj.errors import InputError
from tlj.streams import generator

Indices = Int[np.ndarray, " examples"]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one run, as indices into its source.

    Attributes:
      train: labelled examples that are trained on.
      validation: labelled examples held out; they count in the budget.
      test: examples that nothing but the final test touches.
    """

    train: Indices
    validation: Indices
    test: Indices

    def manifest(self, ids: Sequence[str]) -> dict[str, object]:
        """Returns the sample ids of each part and a hash over them, for the run's manifest."""
        parts = {field.name: [ids[i] for i in getattr(self, field.name)] for field in dataclasses.fields(self)}
        return {"hash": hashlib.sha256(repr(parts).encode()).hexdigest()[:16], **parts}


class SealedTest:
    """The test examples of a run; a process can open them once.

    Attributes:
      opened: how often they have been opened, for the run's summary.

    Args:
      indices: the test examples.
      earlier: how often earlier processes of the same run opened them.
    """

    def __init__(self, indices: Indices, earlier: int = 0):
        self._indices = indices
        self._earlier = self.opened = earlier

    def open(self) -> Indices:
        """Returns the test examples.

        Raises:
          RuntimeError: when they have been opened before.
        """
        if self.opened > self._earlier:
            raise RuntimeError("the test split of this run has been opened already")
        self.opened += 1
        return self._indices


@functools.lru_cache(maxsize=64)
def _stratified_order(labels: bytes, seed: int, part: int) -> tuple[int, ...]:
    """Orders examples so that every prefix holds each class within one example of its share.

    The quota method of Balinski & Young (1975): each place goes to the class that has the best claim to it among those
    that it would not lift above their share rounded up.

    Args:
      labels: the bytes of an int32 array, so that the order of a source is made once per seed.
      seed: of the ``data`` stream.
      part: of the stream.
    """
    rng, values = generator(seed, "data", part), np.frombuffer(labels, np.int32)
    names, counts = np.unique(values, return_counts=True)
    members = [rng.permutation(np.flatnonzero(values == name)) for name in names]
    taken, ties = np.zeros(len(names), int), rng.permutation(len(names)) * 1e-12
    order = []
    for place in range(len(values)):
        within_share = taken * len(values) < (place + 1) * counts
        chosen = int(np.argmax(np.where(within_share, counts / (taken + 1) + ties, -1.0)))
        order.append(int(members[chosen][taken[chosen]]))
        taken[chosen] += 1
    return tuple(order)


def _ordered(labels: Int[np.ndarray, " n"], seed: int, part: int) -> Indices:
    return np.array(_stratified_order(np.ascontiguousarray(labels, np.int32).tobytes(), seed, part), int)


def split_off_test(labels: Int[np.ndarray, " n"], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Splits a source into a labelled pool and a test set, the same for every run of a comparison.

    Args:
      labels: of every example.
      fraction: of the examples that are tested.
      seed: ``config.data.split_seed``.

    Returns:
      Indices of the pool and of the test set, each sorted.
    """
    order = _ordered(labels, seed, 0)
    count = round(fraction * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


def _held_out(labels: Int[np.ndarray, " n"], fraction: float, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Marks every 1 / fraction-th example of each class in the order given; classes take turns to be first."""
    marks = np.zeros(len(labels), bool)
    classes = rng.permutation(np.unique(labels))
    for turn, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        steps = fraction * np.arange(len(members) + 1) + (turn + 0.5) / len(classes)
        marks[members] = np.diff(np.floor(steps)) > 0
    return marks


def budget_split(
    labels: Int[np.ndarray, " n"],
    pool: Indices,
    budget: int | str,
    *,
    validation_fraction: float,
    seed: int,
) -> tuple[Indices, Indices]:
    """Draws a label budget from the pool and holds a validation part out of it.

    For one seed a smaller budget's training and validation parts are subsets of a larger one's: the whole pool is put
    into one stratified order, each example is marked once for training or validation, and a budget is a prefix.

    Args:
      labels: of every example of the source.
      pool: indices that may be labelled.
      budget: number of labelled examples, validation counted in, or ``"all"``.
      validation_fraction: share of the budget that is held out, 0 < fraction < 1.
      seed: of the run.

    Returns:
      Indices of the training and of the validation part, in budget order.

    Raises:
      InputError: for a budget beyond the pool, or too small to train on every class and validate at all.
    """
    where = "config.label_budgets"
    count = len(pool) if budget == "all" else int(budget)
    if count > len(pool):
        raise InputError(
            f"a budget of {count} labels, but the pool has {len(pool)}",
            where=where,
            do=f"use at most {len(pool)} or 'all'",
        )
    ordered = pool[_ordered(labels[pool], seed, 1)]
    held_out = _held_out(labels[ordered], validation_fraction, generator(seed, "data", 3))
    classes = np.unique(labels)

    def suffices(n: int) -> bool:
        return held_out[:n].any() and len(np.unique(labels[ordered[:n]][~held_out[:n]])) == len(classes)

    if not suffices(count):
        least = next((n for n in range(count, len(pool) + 1) if suffices(n)), None)
        raise InputError(
            f"a budget of {count} labels cannot give a training example to each of {len(classes)} classes and hold "
            f"{validation_fraction:.0%} out for validation",
            where=where,
            do=f"use at least {least}" if least else "use a source with more examples per class",
        )
    return ordered[:count][~held_out[:count]], ordered[:count][held_out[:count]]
