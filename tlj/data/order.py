"""Which examples are in the batch of a step: a pure function of (seed, step), with random access."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int

from tlj.streams import generator

# Positions in the ``data`` stream; 0, 1 and 3 are those of the splits, 5 and 6 those of ``balance``, 7 of screening.
_EPOCHS, _WINDOWS, _VIEWS = 2, 4, 8
LARGEST_WINDOW = 512

Epochs = Callable[[int], Int[np.ndarray, " n"]]


class Order(Protocol):
    """Random access to the indices of every training batch: ``order[step]``."""

    def __len__(self) -> int:
        """Returns the number of batches."""

    def __getitem__(self, step: int) -> Int[np.ndarray, " batch"]:
        """Returns the indices of a batch."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shuffled:
    """Epochs in which every example comes once, in an order of its own.

    Attributes:
      examples: indices into the source.
      seed: of the run.
    """

    examples: Int[np.ndarray, " n"]
    seed: int

    def __call__(self, epoch: int) -> Int[np.ndarray, " n"]:
        """Returns the examples of an epoch in order."""
        return generator(self.seed, "data", _EPOCHS, epoch).permutation(self.examples)


class _Recent:
    """The last few values of a function of a number; unlike what ``lru_cache`` makes, it travels to another process."""

    def __init__(self, function: Callable[[int], Any], kept: int):
        self._function, self._kept = function, kept
        self._cached = functools.lru_cache(kept)(function)

    def __call__(self, number: int) -> Any:
        return self._cached(number)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Recent, (self._function, self._kept)


class BatchOrder:
    """Batches cut from a stream of epochs.

    Epochs follow each other without a gap, so a batch may span several; the batch size does not depend on how many
    examples there are. (Grain's own shuffle works example by example in Python, which is too slow for small examples.)

    Args:
      examples: indices into the source.
      batch_size: examples per batch.
      seed: of the run; the order is that of its ``data`` stream.
      steps: number of batches.
      epochs: as many draws from the examples as there are, for each epoch; None shuffles them anew in each.
    """

    def __init__(
        self, examples: Int[np.ndarray, " n"], batch_size: int, seed: int, steps: int, epochs: Epochs | None = None
    ):
        self._count, self._batch_size, self._steps = len(examples), batch_size, steps
        self._epoch = _Recent(epochs or Shuffled(examples, seed), 4)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Int[np.ndarray, " batch"]:
        return self.stretch(step * self._batch_size, (step + 1) * self._batch_size)

    def stretch(self, begin: int, end: int) -> Int[np.ndarray, " stretch"]:
        """Returns the examples at the places from ``begin`` to ``end`` of the stream."""
        epochs = range(begin // self._count, (end - 1) // self._count + 1)
        joined = np.concatenate([self._epoch(epoch) for epoch in epochs])
        return joined[begin - epochs[0] * self._count :][: end - begin]


class LengthOrder:
    """Batches of examples of like length, so that little is padded.

    The stream of a ``BatchOrder`` is cut into windows of ``w = max(1, min(512, n // batch_size))`` batches. The
    examples of a window are sorted by length, those of one length staying in random order, and cut into batches, which
    follow each other in random order. With no more examples in a window than there are, none comes more than twice.

    Args:
      order: the stream.
      lengths: of every example of the source.
      count: number of examples that are trained on.
      batch_size: examples per batch.
      seed: of the run.
    """

    def __init__(
        self, order: BatchOrder, lengths: Int[np.ndarray, " examples"], *, count: int, batch_size: int, seed: int
    ):
        self._order, self._lengths, self._batch_size, self._seed = order, lengths, batch_size, seed
        self.window = max(1, min(LARGEST_WINDOW, count // batch_size))
        self._batches = _Recent(self._window_of_batches, 2)

    def _window_of_batches(self, number: int) -> Int[np.ndarray, "window batch"]:
        size = self.window * self._batch_size
        examples = self._order.stretch(number * size, (number + 1) * size)
        by_length = examples[np.argsort(self._lengths[examples], kind="stable")]
        batches = by_length.reshape(self.window, self._batch_size)
        return batches[generator(self._seed, "data", _WINDOWS, number).permutation(self.window)]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, step: int) -> Int[np.ndarray, " batch"]:
        return self._batches(step // self.window)[step % self.window]


@dataclasses.dataclass(frozen=True, eq=False)
class ViewOrder:
    """The batches of an order, each example as one of its fixed views, which is drawn anew at every step.

    Attributes:
      order: of the examples.
      seed: of the run.
      views: of every example, from 1.
      examples: of the source: view v of example i is v * examples + i.
    """

    order: Order
    seed: int
    views: int
    examples: int

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> Int[np.ndarray, " batch"]:
        indices = self.order[step]
        drawn = generator(self.seed, "data", _VIEWS, step).integers(1, self.views + 1, len(indices))
        return drawn * self.examples + indices
