"""Linear classifiers on fixed features: how well they tell classes apart, or two data sets."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int

FOLDS = 5
PENALTIES = np.logspace(-2, 5, 15)


def probe_accuracy(features: Float[np.ndarray, "n width"], labels: Int[np.ndarray, " n"]) -> float | None:
    """Returns the cross-validated accuracy of a linear probe.

    The probe is ridge regression on one-hot labels over standardised features; its penalty is chosen within the
    training folds, by leave-one-out.

    Args:
      features: of the examples.
      labels: their classes.

    Returns:
      The share of held-out examples that it gets right; None where no class has two examples, or all have one class.
    """
    predicted = _held_out(features, labels)
    return None if predicted is None else float(np.mean(predicted == labels))


def proxy_a_distance(
    source: Float[np.ndarray, "m width"], target: Float[np.ndarray, "n width"]
) -> tuple[float, float] | None:
    """Returns the proxy A-distance of two data sets in one feature space, and the error it is made of.

    It is ``2 (1 - 2 e)`` with the held-out error ``e`` of a linear classifier of source against target (Ben-David et
    al. 2007): 0 where they cannot be told apart, 2 where they always can. The error is the mean of that on either set.

    Args:
      source: features of examples of the data that the backbone was trained on.
      target: features of examples of the data it is to be transferred to.

    Returns:
      The distance, clipped to [0, 2], and the error; None where there are too few examples.
    """
    origin = np.repeat([0, 1], [len(source), len(target)])
    predicted = _held_out(np.concatenate([source, target]), origin)
    if predicted is None:
        return None
    error = float(np.mean([np.mean(predicted[origin == part] != part) for part in (0, 1)]))
    return float(np.clip(2 * (1 - 2 * error), 0.0, 2.0)), error


def _held_out(features: Float[np.ndarray, "n width"], labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"] | None:
    """What the probe says of each example from the folds without it."""
    # Not at the top: importing scikit-learn takes most of a second.
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(labels, return_counts=True)
    folds = min(FOLDS, int(counts.max(initial=0)))
    if len(classes) < 2 or folds < 2 or np.sum(counts > 1) < 2:
        return None
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES))
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class with fewer examples than folds is absent from some of them, and counts as missed there.
        warnings.simplefilter("ignore", UserWarning)
        return cross_val_predict(probe, np.asarray(features, np.float64), labels, cv=split)
