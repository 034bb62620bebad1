"""Evaluation: every example once, on any batch size and any number of devices."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float, Int

from tlj.data.pipeline import evaluation_batches
from tlj.data.sources import Reader
from tlj.training.parallel import calls_ahead, put_batch

# Batches that the host is ahead of the devices: one is computed while the next two are read and put there.
AHEAD = 2


def predict(
    program_of: Callable[[Mapping[str, Any]], Callable[..., jax.Array]],
    variables: Mapping[str, Any],
    reader: Reader,
    examples: Int[np.ndarray, " n"],
    batch_size: int,
    sharding: NamedSharding,
) -> Float[np.ndarray, "n outputs"]:
    """Returns what the head says of every example, in order; of several processes, every one asks and gets all.

    Args:
      program_of: from a batch to the compiled ``evaluate_step`` for its shapes, whose result every device has whole.
      variables: ``params`` and ``batch_stats``.
      reader: of the source that the examples are in.
      examples: indices; at least one.
      batch_size: examples per call, rounded up so that every device has as many; the last call is padded, and what it
        says of the padding is dropped.
      sharding: of a batch.
    """
    computed = list(batch_outputs(program_of, variables, reader, examples, batch_size, sharding))
    outputs = np.concatenate([outputs for outputs, _ in computed])
    restored = np.empty_like(outputs)
    restored[np.concatenate([places for _, places in computed])] = outputs
    return restored


def batch_outputs(
    program_of: Callable[[Mapping[str, Any]], Callable[..., jax.Array]],
    variables: Mapping[str, Any],
    reader: Reader,
    examples: Int[np.ndarray, " n"],
    batch_size: int,
    sharding: NamedSharding,
) -> Iterator[tuple[Float[np.ndarray, "rows ..."], Int[np.ndarray, " rows"]]]:
    """Yields what a program makes of the examples, batch by batch, and their places among them.

    Args: those of ``predict``.
    """
    begun: collections.deque[tuple[Any, ...]] = collections.deque()
    ahead = calls_ahead(AHEAD)
    for batch, places, mask in evaluation_batches(reader, examples, dividing(batch_size, sharding.mesh.size)):
        evaluate = program_of(batch)
        outputs = evaluate(variables["params"], variables["batch_stats"], put_batch(batch, sharding))
        begun.append((outputs, places, mask))
        # A host that reads faster than the device computes would fill the device with batches that wait.
        if len(begun) > ahead:
            outputs, places, mask = begun.popleft()
            jax.block_until_ready(outputs)
            yield np.asarray(outputs)[mask], places
    for outputs, places, mask in begun:
        yield np.asarray(outputs)[mask], places


def dividing(rows: int, devices: int) -> int:
    """Returns a number of rows, or the next that divides over the devices."""
    return -(-rows // devices) * devices
