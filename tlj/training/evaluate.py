"""Evaluation: every example once, on any batch size, and the numbers a run reports of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float, Int

from tlj.data.pipeline import evaluation_batches
from tlj.data.sources import Reader
from tlj.training.parallel import put_batch

# Batches on the devices at a time: one is computed while the next two are read and put there.
IN_FLIGHT = 3


def predict(
    program_of: Callable[[Mapping[str, Any]], Callable[..., jax.Array]],
    variables: Mapping[str, Any],
    reader: Reader,
    examples: Int[np.ndarray, " n"],
    batch_size: int,
    sharding: NamedSharding,
) -> Float[np.ndarray, "n classes"]:
    """Returns the logits of every example, in order.

    Args:
      program_of: from a batch to the compiled ``evaluate_step`` for its shapes.
      variables: ``params`` and ``batch_stats``.
      reader: of the source that the examples are in.
      examples: indices; at least one.
      batch_size: examples per call; the last call is padded and what it says of the padding is dropped.
      sharding: of a batch.
    """
    begun = []
    for batch, places, mask in evaluation_batches(reader, examples, batch_size):
        evaluate = program_of(batch)
        logits = evaluate(variables["params"], variables["batch_stats"], put_batch(batch, sharding))
        begun.append((logits, places, mask))
        # A host that reads faster than the device computes would fill the device with batches that wait.
        if len(begun) >= IN_FLIGHT:
            jax.block_until_ready(begun[-IN_FLIGHT][0])
    logits = np.concatenate([np.asarray(logits)[mask] for logits, _, mask in begun])
    restored = np.empty_like(logits)
    restored[np.concatenate([places for _, places, _ in begun])] = logits
    return restored


def loss_and_accuracy(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Returns mean cross-entropy in nats and accuracy, computed in float64."""
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # a run that diverged has a loss that is not a number
        log_partition = np.logaddexp.reduce(wide, axis=-1)
        loss = log_partition - wide[np.arange(len(labels)), labels]
    return float(loss.mean()), float((logits.argmax(-1) == labels).mean())
