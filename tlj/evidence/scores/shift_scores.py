"""What one run reached on each shifted test set, and how well its confidence tells that set from its own test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Float, Float64

from tlj.evidence.predictions import CLASSES, Predictions
from tlj.evidence.scores.metrics import Scores, score

PREFIX = "shift:"


@dataclass(frozen=True)
class ShiftScores:
    """What one run reached on one shifted test set.

    Attributes:
      scores: by every metric, scaled by the temperature of the run's own validation.
      auroc: the chance that an example of the own test is said with more confidence than a shifted one; ties count one
        half. None where the run says no classes, or any logit is not finite.
      fpr_at_95: the share of shifted examples as confident as 95 % of the own test; None likewise.
    """

    scores: Scores
    auroc: float | None
    fpr_at_95: float | None


def shift_scores(splits: Mapping[str, Predictions]) -> dict[str, ShiftScores]:
    """Scores a run on its shifted test sets.

    Args:
      splits: the predictions of a run by split; those of a shifted set are of ``shift:NAME``.

    Returns:
      The scores by name; empty where there is no such split.
    """
    found, validation = {}, splits.get("validation")
    fitted_on = None if validation is None else (validation.logits, validation.labels)
    for split in sorted(name for name in splits if name.startswith(PREFIX)):
        shifted, test = splits[split], splits["test"]
        apart = (None, None)
        if test.kind == CLASSES and np.isfinite(test.logits).all() and np.isfinite(shifted.logits).all():
            apart = told_apart(confidence(test.logits), confidence(shifted.logits))
        found[split.removeprefix(PREFIX)] = ShiftScores(score(shifted.logits, shifted.labels, fitted_on), *apart)
    return found


def confidence(logits: Float[np.ndarray, "example class"]) -> Float64[np.ndarray, " example"]:
    """Returns the largest softmax probability of every example (Hendrycks and Gimpel 2017)."""
    return scipy.special.softmax(logits.astype(np.float64), axis=1).max(axis=1)


def told_apart(own: Float64[np.ndarray, " own"], shifted: Float64[np.ndarray, " shifted"]) -> tuple[float, float]:
    """Returns how well confidence tells a set from shifted examples.

    Args:
      own: confidence of the examples of the test.
      shifted: of the shifted ones.

    Returns:
      The area under the ROC curve, and the share of shifted examples at or above the confidence that 95 % of the own
      examples reach.
    """
    ranks = scipy.stats.rankdata(np.concatenate([own, shifted]))[: len(own)]
    wins = ranks.sum() - len(own) * (len(own) + 1) / 2
    threshold = np.sort(own)[::-1][int(np.ceil(0.95 * len(own))) - 1]
    return float(wins / (len(own) * len(shifted))), float(np.mean(shifted >= threshold))
