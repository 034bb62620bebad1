"""Classes weighed alike, where some have few examples: in how often each is drawn, or in the loss."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float, Int

from tlj.data.stratified import by_class
from tlj.streams import generator

BALANCES = ("none", "sample", "loss")

# Positions in the ``data`` stream, besides those of ``order`` and ``splits``.
_ROUNDS, _ORDER = 5, 6


class BalancedEpochs:
    """Epochs of as many draws as there are examples, with each class as often as any other, to within one.

    The members of a class come in shuffled rounds, every member once a round; rounds go on from epoch to epoch, so that
    also the members of a large class all have their turn. Which classes have the draws that are left over rotates.

    Args:
      examples: indices into the source.
      labels: of every example of the source.
      seed: of the run.
    """

    def __init__(self, examples: Int[np.ndarray, " n"], labels: Int[np.ndarray, " examples"], seed: int):
        self._seed, self._draws = seed, len(examples)
        _, places = by_class(labels[examples])
        self._members = [examples[of_class] for of_class in places]

    def _drawn(self, chosen: int, epoch: int) -> int:
        """How often the class has been drawn before the epoch."""
        each, left_over = divmod(self._draws, len(self._members))
        return epoch * each + (epoch * left_over + len(self._members) - 1 - chosen) // len(self._members)

    def _round(self, chosen: int, number: int) -> Int[np.ndarray, " members"]:
        return generator(self._seed, "data", _ROUNDS, chosen, number).permutation(self._members[chosen])

    def _of_class(self, chosen: int, epoch: int) -> Int[np.ndarray, " draws"]:
        size, begin, end = len(self._members[chosen]), self._drawn(chosen, epoch), self._drawn(chosen, epoch + 1)
        if begin == end:
            return self._members[chosen][:0]
        rounds = range(begin // size, (end - 1) // size + 1)
        joined = np.concatenate([self._round(chosen, number) for number in rounds])
        return joined[begin - rounds[0] * size :][: end - begin]

    def __call__(self, epoch: int) -> Int[np.ndarray, " n"]:
        """Returns the draws of an epoch in order."""
        drawn = np.concatenate([self._of_class(chosen, epoch) for chosen in range(len(self._members))])
        return generator(self._seed, "data", _ORDER, epoch).permutation(drawn)


def class_weights(labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " classes"]:
    """Returns the weight ``n / (k n_c)`` of each class in the loss, whose mean over the examples is 1.

    Args:
      labels: of the training part; a class without an example weighs nothing and does not count in k.
    """
    counts = np.bincount(labels)
    present = counts > 0
    return (present * len(labels) / (present.sum() * np.maximum(counts, 1))).astype(np.float32)


def add_weight(batch: dict[str, np.ndarray], weights: Float[np.ndarray, " classes"]) -> dict[str, np.ndarray]:
    """Returns a batch with the ``weight`` (float32) of each example, that of its class."""
    return {**batch, "weight": weights[batch["label"]]}


def weighing(labels: Int[np.ndarray, " n"]) -> functools.partial[dict[str, np.ndarray]]:
    """Returns the function that weighs the examples of a batch so that the classes of the training part count alike."""
    return functools.partial(add_weight, weights=class_weights(labels))
