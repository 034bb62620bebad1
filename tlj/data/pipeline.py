"""Batches as a pure function of (seed, step), and of nothing else: not of hosts, workers, restarts or the strategy."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import grain
import numpy as np
from jaxtyping import Bool, Int

from tlj.data.sources import Source
from tlj.streams import generator


class BatchOrder:
    """Random access to the indices of every training batch: ``order[step]``.

    Examples are shuffled anew each epoch and epochs follow each other without a gap, so a batch may span several; the
    batch size does not depend on how many examples there are. (Grain's own shuffle works example by example in Python,
    which is too slow for small examples.)

    Args:
      examples: indices into the source.
      batch_size: examples per batch.
      seed: of the run; the order is that of its ``data`` stream.
      steps: number of batches.
    """

    def __init__(self, examples: Int[np.ndarray, " n"], batch_size: int, seed: int, steps: int):
        self._examples, self._batch_size, self._seed, self._steps = examples, batch_size, seed, steps
        self._epoch = functools.lru_cache(maxsize=4)(self._permutation)

    def _permutation(self, epoch: int) -> Int[np.ndarray, " n"]:
        return generator(self._seed, "data", 2, epoch).permutation(self._examples)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Int[np.ndarray, " batch"]:
        count = len(self._examples)
        begin, end = step * self._batch_size, (step + 1) * self._batch_size
        epochs = range(begin // count, (end - 1) // count + 1)
        joined = np.concatenate([self._epoch(epoch) for epoch in epochs])
        return joined[begin - epochs[0] * count :][: self._batch_size]


def training_batches(
    source: Source, examples: Int[np.ndarray, " n"], *, batch_size: int, seed: int, steps: int
) -> grain.MapDataset:
    """Returns the training batches of a run as a Grain data set with random access by step.

    Args:
      source: where the examples come from.
      examples: indices of the training part.
      batch_size: examples in a global batch.
      seed: of the run.
      steps: number of batches.
    """
    return grain.MapDataset.source(BatchOrder(examples, batch_size, seed, steps)).map(source.batch)


def evaluation_batches(
    source: Source, examples: Int[np.ndarray, " n"], batch_size: int
) -> Iterator[tuple[dict[str, np.ndarray], Bool[np.ndarray, " batch"]]]:
    """Yields every example once, in order, in batches of one size: the last is padded, and masked where it is.

    Args:
      source: where the examples come from.
      examples: indices to evaluate.
      batch_size: examples per batch.

    Yields:
      A batch and a mask that is True at real examples.
    """
    for begin in range(0, len(examples), batch_size):
        indices = examples[begin : begin + batch_size]
        mask = np.arange(batch_size) < len(indices)
        yield source.batch(np.resize(indices, batch_size)), mask
