"""H-score: how much of the variance of the features lies between classes (Bao et al. 2019, ICIP)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def h_score(features: Float[np.ndarray, "n width"], labels: Int[np.ndarray, " n"]) -> float | None:
    """Returns ``tr(cov(F)^+ cov(E[F | y]))`` with a shrunk covariance: 0 to the number of classes less one.

    With fewer examples than features the sample covariance makes every score the largest, so that it is shrunk after
    Ledoit and Wolf, and the covariance of the class means by the same share (Ibrahim et al. 2021, arXiv:2110.06893).

    Args:
      features: of the examples.
      labels: their classes.

    Returns:
      The score; None where the features are constant.
    """
    # Not at the top: importing scikit-learn takes most of a second.
    from sklearn.covariance import ledoit_wolf

    features = np.asarray(features, np.float64)
    centred = features - features.mean(axis=0)
    scale = np.sqrt(np.mean(centred**2))
    if not scale > 0:
        return None
    covariance, shrinkage = ledoit_wolf(centred / scale, assume_centered=True)
    names, places = np.unique(labels, return_inverse=True)
    means = np.stack([centred[places == place].mean(axis=0) / scale for place in range(len(names))])
    weights = np.bincount(places) / len(labels)
    between = (1 - shrinkage) * (means * weights[:, None]).T @ means
    return float(np.trace(np.linalg.pinv(covariance, hermitian=True) @ between))
