"""Scores of one run, from the logits and labels of its predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float, Float64, Integer


@dataclass(frozen=True)
class Scores:
    """What one run reached on its test set.

    Args:
      accuracy: the share of examples whose largest logit is the label, in [0, 1].
      loss: the mean negative log-likelihood in nats; infinite where a logit is not finite.
      examples: the number of test examples.
    """

    accuracy: float
    loss: float
    examples: int

    @property
    def floored_error(self) -> float:
        """The error rate, held at half an example: a run without an error still has a finite log error."""
        return max(1.0 - self.accuracy, 0.5 / self.examples)


def accuracy(logits: Float[np.ndarray, "example class"], labels: Integer[np.ndarray, " example"]) -> float:
    """Returns the share of examples whose largest logit is the label; a row with a NaN or infinity counts as wrong.

    Args:
      logits: one row per example, in any float type.
      labels: class indices.

    Returns:
      The accuracy, in [0, 1].
    """
    right = (np.argmax(logits, axis=1) == labels) & np.isfinite(logits).all(axis=1)
    return int(right.sum()) / len(labels)


def negative_log_likelihood(
    logits: Float[np.ndarray, "example class"], labels: Integer[np.ndarray, " example"]
) -> float:
    """Returns the mean negative log-likelihood of the labels, with the softmax taken in float64.

    Args:
      logits: one row per example, in any float type.
      labels: class indices.

    Returns:
      The mean loss in nats, or infinity where any logit is NaN or infinite.
    """
    if not np.isfinite(logits).all():
        return float("inf")
    log_probabilities = log_softmax(logits)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def log_softmax(logits: Float[np.ndarray, "example class"]) -> Float64[np.ndarray, "example class"]:
    """Returns log-probabilities in float64, whatever type the logits have."""
    return scipy.special.log_softmax(logits.astype(np.float64), axis=1)


def score(logits: Float[np.ndarray, "example class"], labels: Integer[np.ndarray, " example"]) -> Scores:
    """Scores one run.

    Args:
      logits: one row per test example.
      labels: class indices.

    Returns:
      Accuracy, mean negative log-likelihood and the number of examples.
    """
    return Scores(accuracy(logits, labels), negative_log_likelihood(logits, labels), len(labels))
