"""How far confidence is from accuracy, and the temperature that brings them together."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from jaxtyping import Bool, Float, Float64, Integer

BINS = 15
LARGEST_TEMPERATURE = 20.0
_EDGES = np.linspace(0.0, 1.0, BINS + 1)

Right = Bool[np.ndarray, " example"]


def equal_width_bins(confidence: Float64[np.ndarray, " example"], right: Right) -> Float64[np.ndarray, "3 bin"]:
    """Returns the reliability bins: 15 of equal width, ``(low, high]``.

    Args:
      confidence: the largest probability of each example.
      right: whether its class is the label.

    Returns:
      Rows of how many examples lie in each bin, the sum of their confidence, and how many of them are right.
    """
    place = np.clip(np.searchsorted(_EDGES, confidence, side="left") - 1, 0, BINS - 1)
    return np.stack([np.bincount(place, weights, BINS) for weights in (np.ones_like(confidence), confidence, right)])


def width_error(bins: Float64[np.ndarray, "3 bin"]) -> float:
    """Returns the expected calibration error of reliability bins.

    Args:
      bins: of ``equal_width_bins``; of several runs their sum.

    Returns:
      The mean over examples of ``|accuracy - confidence|`` of their bin, in [0, 1] (Guo et al. 2017, section 2).
    """
    return float(np.abs(bins[2] - bins[1]).sum() / bins[0].sum())


def equal_mass_error(confidence: Float64[np.ndarray, " example"], right: Right) -> float:
    """Returns the expected calibration error over 15 bins that hold equally many examples.

    Args:
      confidence: the largest probability of each example.
      right: whether its class is the label.

    Returns:
      The error, in [0, 1]; examples of equal confidence stay in the order in which they came.
    """
    order = np.argsort(confidence, kind="stable")
    place = np.arange(order.size) * BINS // order.size
    return float(np.abs(np.bincount(place, (right - confidence)[order])).sum() / order.size)


def fit_temperature(
    logits: Float[np.ndarray, "example class"], labels: Integer[np.ndarray, " example"]
) -> float | None:
    """Returns the temperature that minimises the negative log-likelihood of ``logits / temperature``.

    The likelihood is concave in ``1 / temperature``, so its one root is found by bracketing. ``n`` rows move the
    temperature by at most a factor of ``1 + n/4``, and never by more than 20: few rows cannot tell a large one from a
    small one. Where every row is right no temperature is small enough, the rows say nothing about it, and it stays 1.

    Args:
      logits: one row per validation example; rows that are not finite are left out.
      labels: class indices.

    Returns:
      The temperature; None without a finite row.
    """
    finite = np.isfinite(logits).all(axis=1)
    rows, labels = logits[finite].astype(np.float64), labels[finite]
    if not len(labels):
        return None
    rows -= rows.max(axis=1, keepdims=True)
    own = rows[np.arange(len(labels)), labels].mean()
    if own == 0:
        return 1.0

    def slope(sharpness: float) -> float:
        weights = np.exp(sharpness * rows)
        return float(((weights * rows).sum(axis=1) / weights.sum(axis=1)).mean() - own)

    most = min(1 + len(labels) / 4, LARGEST_TEMPERATURE)
    if slope(1 / most) >= 0:
        return most
    if slope(most) <= 0:
        return 1 / most
    return float(1 / scipy.optimize.brentq(slope, 1 / most, most, xtol=1e-10, rtol=1e-10))
