"""The metrics of one run on numbers."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.stats
from jaxtyping import Float

METRICS = ("loss", "rmse", "mae", "r2", "pearson", "spearman")


def metrics(
    predicted: Float[np.ndarray, "example 1"], labels: Float[np.ndarray, " example"]
) -> dict[str, float | None]:
    """Returns the metrics of numbers, in the unit of the labels; the loss is the mean squared error.

    Args:
      predicted: a single column.
      labels: the numbers.

    Returns:
      ``loss``, ``rmse``, ``mae``, ``r2``, ``pearson`` and ``spearman``. All are None where a prediction is not finite;
      ``r2`` and the correlations where all labels are alike, a correlation also where all predictions are.
    """
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    guess, truth = predicted[:, 0].astype(np.float64), labels.astype(np.float64)
    if not np.isfinite(guess).all():
        return values
    squared = float(np.square(guess - truth).mean())
    values |= {"loss": squared, "rmse": float(np.sqrt(squared)), "mae": float(np.abs(guess - truth).mean())}
    if np.ptp(truth) == 0:
        return values
    values["r2"] = 1 - squared / float(truth.var())
    if np.ptp(guess) == 0:
        return values
    with warnings.catch_warnings():
        # Predictions that differ in their last bits alone have a correlation all the same.
        warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
        values["pearson"] = float(scipy.stats.pearsonr(guess, truth).statistic)
    values["spearman"] = float(scipy.stats.spearmanr(guess, truth).statistic)
    return values
