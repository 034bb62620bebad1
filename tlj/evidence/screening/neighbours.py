"""How often an example's nearest neighbours in feature space have its class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

MOST_NEIGHBOURS = 20
TEMPERATURE = 0.07
_CHUNK = 1024


def neighbour_count(examples: int, classes: int) -> int:
    """Returns how many neighbours vote: 20, or as many others as a class has on average where that is fewer.

    Args:
      examples: in all.
      classes: that occur among them.
    """
    return max(1, min(MOST_NEIGHBOURS, examples // classes - 1))


def neighbour_accuracy(features: Float[np.ndarray, "n width"], labels: Int[np.ndarray, " n"]) -> float:
    """Returns the leave-one-out accuracy of a vote among the nearest neighbours.

    Neighbours are near by cosine, and each votes with ``exp(cosine / 0.07)`` (Wu et al. 2018, arXiv:1805.01978).

    Args:
      features: of the examples; at least two.
      labels: their classes.
    """
    classes, places = np.unique(labels, return_inverse=True)
    k = neighbour_count(len(labels), len(classes))
    directions = np.asarray(features, np.float64)
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    correct = 0
    for begin in range(0, len(labels), _CHUNK):
        rows = np.arange(begin, min(begin + _CHUNK, len(labels)))
        cosines = directions[rows] @ directions.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        weights = np.exp((np.take_along_axis(cosines, nearest, 1) - 1) / TEMPERATURE)
        votes = np.zeros((len(rows), len(classes)))
        np.add.at(votes, (np.arange(len(rows))[:, None], places[nearest]), weights)
        correct += int(np.sum(votes.argmax(axis=1) == places[rows]))
    return correct / len(labels)
