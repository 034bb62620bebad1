"""Batches as a pure function of (seed, step), and of nothing else: not of hosts, workers, restarts or the strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import grain
import numpy as np
from jaxtyping import Bool, Int

from tlj.data.balance import BALANCES, BalancedEpochs, weighing
from tlj.data.label_scale import label_scale
from tlj.data.order import BatchOrder, LengthOrder, Order, ViewOrder
from tlj.data.sources import Reader
from tlj.errors import InputError, unknown_name

__all__ = ["BatchOrder", "LengthOrder", "evaluation_batches", "training_batches"]


# Grain writes out what it maps with, and of every example in a reader that takes longer than reading a batch.
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Read:
    """From the indices of a global batch to the arrays of the rows of this host; travels to another process."""

    reader: Reader
    rows: slice

    def __call__(self, indices: Int[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
        return self.reader.batch(indices, self.rows)


def training_order(
    reader: Reader,
    examples: Int[np.ndarray, " n"],
    *,
    batch_size: int,
    seed: int,
    steps: int,
    balance: str = "none",
    labels: Int[np.ndarray, " examples"] | None = None,
) -> Order:
    """Returns the indices of the examples in every global batch; the arguments are those of ``training_batches``."""
    epochs = BalancedEpochs(examples, labels, seed) if balance == "sample" else None
    order: Order = BatchOrder(examples, batch_size, seed, steps, epochs)
    if reader.by_length:
        order = LengthOrder(order, reader.lengths, count=len(examples), batch_size=batch_size, seed=seed)
    return order


def training_batches(
    reader: Reader,
    examples: Int[np.ndarray, " n"],
    *,
    batch_size: int,
    seed: int,
    steps: int,
    balance: str = "none",
    labels: Int[np.ndarray, " examples"] | None = None,
    host: int = 0,
    hosts: int = 1,
    views: int = 0,
) -> grain.MapDataset:
    """Returns the training batches of a run as a Grain data set with random access by step.

    The batch of a step is that of one order of the examples, whose shapes it alone decides; each host reads its rows of
    it, so that the hosts together have the same batch however many they are.

    Args:
      reader: of the source that the examples are in; where a batch is cheaper so, its examples are of like length.
      examples: indices of the training part.
      batch_size: examples in a global batch.
      seed: of the run.
      steps: number of batches.
      balance: ``"none"``; ``"sample"`` draws every class as often as any other; ``"loss"`` gives each example a
        ``weight`` (float32) in the batch, of mean 1 over the training part.
      labels: of every example of the source. Only a balance needs classes; numbers come to the scale of the training
        part (``tlj.data.label_scale``).
      host: number of this process.
      hosts: number of processes.
      views: that the reader has of every example besides the example itself, which one of them then stands for, drawn
        anew at every step: view v of example i is the index v * examples + i, v from 1; 0: it has none.

    Raises:
      InputError: for a balance that does not exist, or a batch that does not divide over the hosts.
    """
    if balance not in BALANCES:
        raise unknown_name("balance", balance, BALANCES, where="config.data.balance")
    if batch_size % hosts:
        raise InputError(
            f"a batch of {batch_size} does not divide over {hosts} hosts",
            where="config.global_batch_size",
            do=f"use a multiple of {hosts}",
        )
    if balance != "none" and labels is None:
        raise ValueError(f"balance {balance!r} needs labels")
    order = training_order(
        reader, examples, batch_size=batch_size, seed=seed, steps=steps, balance=balance, labels=labels
    )
    if views:
        order = ViewOrder(order, seed, views, len(labels))
    each = batch_size // hosts
    batches = grain.MapDataset.source(order).map(_Read(reader, slice(host * each, (host + 1) * each)))
    if labels is not None and (scale := label_scale(labels, examples)):
        return batches.map(scale.on_batch)
    return batches.map(weighing(labels[examples])) if balance == "loss" else batches


def evaluation_batches(
    reader: Reader, examples: Int[np.ndarray, " n"], batch_size: int
) -> Iterator[tuple[dict[str, np.ndarray], Int[np.ndarray, " real"], Bool[np.ndarray, " batch"]]]:
    """Yields every example once, in batches of one size: the last is padded, and masked where it is.

    They come in the order given, or shortest first where a batch is cheaper for being of examples of like length. What
    is computed for the rows of the batches is put into the order given by ``restored[places] = computed[mask]``.

    Args:
      reader: of the source that the examples are in.
      examples: indices to evaluate.
      batch_size: examples per batch.

    Yields:
      A batch; the places in ``examples`` of its real rows, in their order; and a mask that is True at those rows.
    """
    order = np.arange(len(examples))
    if reader.by_length:
        order = np.argsort(reader.lengths[examples], kind="stable")
    for begin in range(0, len(examples), batch_size):
        places = order[begin : begin + batch_size]
        mask = np.arange(batch_size) < len(places)
        yield reader.batch(np.resize(examples[places], batch_size)), places, mask
