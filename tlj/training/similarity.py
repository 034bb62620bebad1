"""How alike two representations of the same examples are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def linear_cka(x: Float[np.ndarray, "n width"], y: Float[np.ndarray, "n other_width"]) -> float | None:
    """Returns the linear centred kernel alignment of two representations, 1 where one is a rotation of the other.

    It does not depend on shifts, rotations or the scale of either. Of fewer examples than features it is high for
    unrelated representations, too: what chance gives is to be read beside it (``chance_cka``).

    Args:
      x: of the examples.
      y: of the same examples, in the same order.

    Returns:
      ``||Y'X||^2 / (||X'X|| ||Y'Y||)`` of the centred representations, in Frobenius norms (Kornblith et al. 2019,
      arXiv:1905.00414); None where one of them is constant or not finite.
    """
    x, y = (_centred(np.asarray(values, np.float64)) for values in (x, y))
    scale = _norm_of_product(x, x) * _norm_of_product(y, y)
    if not np.isfinite(scale) or scale == 0:
        return None
    return float(min(_norm_of_product(x, y) ** 2 / scale, 1.0))


def chance_cka(x: Float[np.ndarray, "n width"], y: Float[np.ndarray, "n other_width"], seed: int = 0) -> float | None:
    """Returns the linear CKA of ``x`` with ``y`` of shuffled examples: what no relation at all would give.

    Args:
      x: of the examples.
      y: of the same examples.
      seed: of the shuffle.
    """
    return linear_cka(x, y[np.random.default_rng(seed).permutation(len(y))])


def _centred(values: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n width"]:
    centred = values - values.mean(axis=0)
    # What is left of a constant is the rounding of its mean, and no representation.
    return centred if np.linalg.norm(centred) > 1e-9 * np.linalg.norm(values) else np.zeros_like(centred)


def _norm_of_product(x: Float[np.ndarray, "n width"], y: Float[np.ndarray, "n other_width"]) -> float:
    """The Frobenius norm of X'Y, from the smaller of the two products that give it."""
    if len(x) < max(x.shape[1], y.shape[1]):
        # ||X'Y||^2 is the sum of the products of the two n x n Gram matrices.
        return float(np.sqrt(max(np.sum((x @ x.T) * (y @ y.T)), 0.0)))
    return float(np.linalg.norm(x.T @ y))
