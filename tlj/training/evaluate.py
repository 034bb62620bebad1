"""Evaluation: every example once, on any batch size, and the numbers a run reports of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float, Int

from tlj.data.pipeline import evaluation_batches
from tlj.data.sources import Source
from tlj.training.parallel import put_batch


def predict(
    evaluate: Callable[..., jax.Array],
    variables: Mapping[str, Any],
    source: Source,
    examples: Int[np.ndarray, " n"],
    batch_size: int,
    sharding: NamedSharding,
) -> Float[np.ndarray, "n classes"]:
    """Returns the logits of every example, in order.

    Args:
      evaluate: the compiled ``evaluate_step``.
      variables: ``params`` and ``batch_stats``.
      source: where the examples come from.
      examples: indices; at least one.
      batch_size: examples per call; the last call is padded and what it says of the padding is dropped.
      sharding: of a batch.
    """
    pending = [
        (evaluate(variables["params"], variables["batch_stats"], put_batch(batch, sharding)), mask)
        for batch, mask in evaluation_batches(source, examples, batch_size)
    ]
    return np.concatenate([np.asarray(logits)[mask] for logits, mask in pending])


def loss_and_accuracy(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Returns mean cross-entropy in nats and accuracy, computed in float64."""
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # a run that diverged has a loss that is not a number
        log_partition = np.logaddexp.reduce(wide, axis=-1)
        loss = log_partition - wide[np.arange(len(labels)), labels]
    return float(loss.mean()), float((logits.argmax(-1) == labels).mean())
