"""LogME: how probable labels are under a Bayesian linear model on features (You et al. 2021, arXiv:2102.11005)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

ROUNDS = 11
_TOLERANCE, _EPSILON = 1e-3, 1e-5


def logme(features: Float[np.ndarray, "n width"], labels: Int[np.ndarray, " n"]) -> float | None:
    """Returns the log evidence of one-vs-rest labels per example, the mean over classes.

    Args:
      features: of the examples.
      labels: their classes.

    Returns:
      The score, comparable among features of the same examples; None where it is not finite.
    """
    features = np.asarray(features, np.float64)
    vectors, singular, _ = np.linalg.svd(features, full_matrices=False)
    scores = [
        log_evidence(features.shape[1], singular**2, vectors.T @ target, target)[0]
        for target in ((labels == name).astype(np.float64) for name in np.unique(labels))
    ]
    mean = float(np.mean(scores))
    return mean if math.isfinite(mean) else None


def log_evidence(
    width: int,
    spectrum: Float[np.ndarray, " rank"],
    projected: Float[np.ndarray, " rank"],
    target: Float[np.ndarray, " n"],
) -> tuple[float, float, float]:
    """Returns the log evidence per example of one target, and the precisions it was maximised with.

    The model is ``target ~ N(features w, 1/beta)`` with ``w ~ N(0, 1/alpha)``. Where there are fewer singular values
    than features, the directions without data keep their prior and cancel; the released code lets them count for
    ``(width - rank) / 2 log alpha`` and is off by that.

    Args:
      width: of the features.
      spectrum: squared singular values of the features.
      projected: the target in the basis of the left singular vectors.
      target: of every example.

    Returns:
      Log evidence divided by the number of examples, alpha and beta.
    """
    n, rank = len(target), len(spectrum)
    outside = max(float(target @ target - projected @ projected), 0.0)
    alpha, beta = 1.0, 1.0
    for _ in range(ROUNDS):
        ratio = alpha / beta
        gamma = float(np.sum(spectrum / (spectrum + ratio)))
        squared_weights, residual = _fit(spectrum, projected, ratio, outside)
        alpha, beta = gamma / (squared_weights + _EPSILON), (n - gamma) / (residual + _EPSILON)
        if not (alpha > 0 and beta > 0):
            return -math.inf, alpha, beta
        if abs(alpha / beta - ratio) <= _TOLERANCE * ratio:
            break
    # At the precisions that were found, so that this is the evidence of these and not of the round before.
    squared_weights, residual = _fit(spectrum, projected, alpha / beta, outside)
    evidence = (
        rank / 2 * math.log(alpha)
        + n / 2 * math.log(beta)
        - 0.5 * float(np.sum(np.log(alpha + beta * spectrum)))
        - beta / 2 * residual
        - alpha / 2 * squared_weights
        - n / 2 * math.log(2 * math.pi)
    )
    return evidence / n, alpha, beta


def _fit(
    spectrum: Float[np.ndarray, " rank"], projected: Float[np.ndarray, " rank"], ratio: float, outside: float
) -> tuple[float, float]:
    """The squared norm of the posterior mean of the weights, and the squared residual that it leaves."""
    squared_weights = float(np.sum(spectrum * projected**2 / (ratio + spectrum) ** 2))
    residual = float(np.sum(projected**2 / (1 + spectrum / ratio) ** 2)) + outside
    return squared_weights, residual
