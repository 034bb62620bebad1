"""A falling curve of log loss over label budgets, and the budget at which it reaches a given loss."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from jaxtyping import Float64, Integer

BELOW, INSIDE, ABOVE = -1, 0, 1


def monotone(
    log_loss: Float64[np.ndarray, "*batch budget"], weights: Float64[np.ndarray, " budget"]
) -> Float64[np.ndarray, "*batch budget"]:
    """Returns the closest curve that never rises with the budget (isotonic regression, pool adjacent violators).

    Args:
      log_loss: mean log loss per label budget, smallest budget first.
      weights: the weight of each budget, its number of seeds.

    Returns:
      Curves of the same shape.
    """
    curves = np.array(log_loss, np.float64).reshape(-1, log_loss.shape[-1])
    # Most resampled curves fall already, and are their own closest curve.
    for i in np.flatnonzero((np.diff(curves, axis=1) > 0).any(axis=1)):
        curves[i] = scipy.optimize.isotonic_regression(curves[i], weights=weights, increasing=False).x
    return curves.reshape(log_loss.shape)


def labels_to_reach(
    target: Float64[np.ndarray, "*batch target"],
    log_loss: Float64[np.ndarray, "*batch budget"],
    log_labels: Float64[np.ndarray, " budget"],
) -> tuple[Float64[np.ndarray, "*batch target"], Integer[np.ndarray, "*batch target"]]:
    """Returns the fewest labels with which a falling curve reaches each target, and where it would extrapolate.

    Between two budgets log labels are linear in log loss. On a flat stretch the fewest labels are its left end, so a
    loss just above a flat level and one just below it can lie a whole stretch apart.

    Args:
      target: log losses to reach.
      log_loss: curves that never rise.
      log_labels: the log of the label budgets, rising.

    Returns:
      Log labels, held at the ends of the curve; and ``BELOW`` where the target lies above the first point of the curve
      (fewer labels than the smallest budget would do), ``ABOVE`` where it lies below the last, else ``INSIDE``.
    """
    reached = (log_loss[..., None, :] > target[..., :, None]).sum(-1)
    last = log_labels.size - 1
    right = np.clip(reached, min(1, last), last)
    left = np.maximum(right - 1, 0)
    loss_left, loss_right = (np.take_along_axis(log_loss, index, axis=-1) for index in (left, right))
    drop = loss_left - loss_right
    share = np.divide(loss_left - target, drop, out=np.zeros_like(target), where=drop > 0)
    inside = log_labels[left] + np.clip(share, 0.0, 1.0) * (log_labels[right] - log_labels[left])
    labels = np.where(reached == 0, log_labels[0], np.where(reached > last, log_labels[last], inside))
    censored = np.where(reached > last, ABOVE, np.where(target > log_loss[..., :1], BELOW, INSIDE))
    return labels, censored


def condition_number(
    target: float, log_loss: Float64[np.ndarray, " budget"], log_labels: Float64[np.ndarray, " budget"]
) -> float | None:
    """Returns ``|d log labels / d log loss|`` where a curve reaches a target: how far an error in the loss carries.

    Args:
      target: a log loss that the curve reaches.
      log_loss: a curve that never rises.
      log_labels: the log of the label budgets, rising.

    Returns:
      The condition number, or None where the curve is flat at the target.
    """
    if log_labels.size < 2 or np.sum(log_loss == target) > 1:
        return None
    right = min(max(int((log_loss > target).sum()), 1), log_labels.size - 1)
    drop = log_loss[right - 1] - log_loss[right]
    return float((log_labels[right] - log_labels[right - 1]) / drop) if drop > 0 else None
