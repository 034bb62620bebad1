"""The metrics of one run on examples of one class each."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Bool, Float, Float64, Integer

from tlj.evidence.scores.calibration import equal_mass_error, equal_width_bins, width_error

# More classes than this make a matrix that nobody reads.
MOST_CLASSES = 20
PROPER = ("nll", "brier", "ece", "ece_equal_mass")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", *PROPER, *(f"{name}_scaled" for name in PROPER))

Logits = Float[np.ndarray, "example class"]
Labels = Integer[np.ndarray, " example"]


def metrics(
    logits: Logits, labels: Labels, temperature: float | None = None
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Returns every metric of classes, and what more than one number says of a run.

    A row with a NaN or infinity counts as wrong where predictions are counted; what needs probabilities is then None.

    Args:
      logits: one row per test example, in any float type.
      labels: class indices.
      temperature: that logits are divided by for the metrics after scaling; None leaves those out.

    Returns:
      ``METRICS`` by name, and details: those of ``confusions`` and ``reliability``, the bins ``before`` and ``after``.
    """
    finite = np.isfinite(logits).all(axis=1)
    predicted = np.argmax(logits, axis=1)
    right = (predicted == labels) & finite
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    values |= {"accuracy": int(right.sum()) / len(labels)}
    values |= _counted(labels, predicted[finite], right, logits.shape[1])
    reliability: dict[str, Any] = {}
    details = {"reliability": reliability, **confusions(labels[finite], predicted[finite], logits.shape[1])}
    if not finite.all():
        return values, details
    log_probabilities = log_softmax(logits)
    values["auroc"] = auroc(logits, log_probabilities, labels)
    for when, ending, divisor in (("before", "", 1.0), ("after", "_scaled", temperature)):
        if divisor is not None:
            scaled = log_probabilities if divisor == 1.0 else log_softmax(log_probabilities / divisor)
            proper, reliability[when] = _proper(scaled, labels, right)
            values |= {name + ending: value for name, value in proper.items()}
    return values, details


def log_softmax(logits: Logits) -> Float64[np.ndarray, "example class"]:
    """Returns log-probabilities in float64, whatever type the logits have."""
    return scipy.special.log_softmax(logits.astype(np.float64), axis=1)


def _counted(labels: Labels, predicted: Labels, right: Bool[np.ndarray, " example"], width: int) -> dict[str, float]:
    hits = np.bincount(labels[right], minlength=width)
    true, named = np.bincount(labels, minlength=width), np.bincount(predicted, minlength=width)
    # As scikit-learn has it: recall over the classes that have an example, F1 over those that anything names.
    recall = hits[true > 0] / true[true > 0]
    f1 = 2 * hits[true + named > 0] / (true + named)[true + named > 0]
    return {"balanced_accuracy": float(recall.mean()), "macro_f1": float(f1.mean())}


def _proper(
    log_probabilities: Float64[np.ndarray, "example class"], labels: Labels, right: Bool[np.ndarray, " example"]
) -> tuple[dict[str, float], Float64[np.ndarray, "3 bin"]]:
    own = log_probabilities[np.arange(len(labels)), labels]
    probabilities = np.exp(log_probabilities)
    confidence = probabilities.max(axis=1)
    bins = equal_width_bins(confidence, right)
    # The squared distance to the label's corner: sum of p squared, less 2 p of the label, plus 1.
    brier = np.square(probabilities).sum(axis=1) - 2 * np.exp(own) + 1
    return {
        "nll": float(-own.mean()),
        "brier": float(max(brier.mean(), 0.0)),
        "ece": width_error(bins),
        "ece_equal_mass": equal_mass_error(confidence, right),
    }, bins


def auroc(logits: Logits, log_probabilities: Float64[np.ndarray, "example class"], labels: Labels) -> float | None:
    """Returns the area under the ROC curve: of the second of two classes, else the mean of each class against the rest.

    Args:
      logits: one row per example, all finite.
      log_probabilities: their log-softmax, which ranks as probabilities do, and ties later.
      labels: class indices.

    Returns:
      The area in [0, 1] by ranks (Mann-Whitney U, ties count one half), over the classes that some but not all
      examples have; None where there is no such class.
    """
    if logits.shape[1] == 2:
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        ranks, positive = scipy.stats.rankdata(margin)[:, None], np.array([(labels == 1).sum()])
        own = np.array([ranks[labels == 1, 0].sum()])
    else:
        ranks = scipy.stats.rankdata(log_probabilities, axis=0)
        positive = np.bincount(labels, minlength=logits.shape[1])
        own = np.bincount(labels, weights=ranks[np.arange(len(labels)), labels], minlength=logits.shape[1])
    negative = len(labels) - positive
    told = (positive > 0) & (negative > 0)
    if not told.any():
        return None
    areas = (own - positive * (positive + 1) / 2)[told] / (positive * negative)[told]
    return float(areas.mean())


def confusions(labels: Labels, predicted: Labels, width: int) -> dict[str, Integer[np.ndarray, "..."]]:
    """Counts which class was taken for which.

    Args:
      labels: class indices.
      predicted: class indices.
      width: the number of classes.

    Returns:
      ``confusion``, counts by label and prediction, up to 20 classes; beyond, ``confused``: the rows ``label,
      predicted, count`` of the pairs that differ.
    """
    codes = labels.astype(np.int64) * width + predicted
    if width <= MOST_CLASSES:
        return {"confusion": np.bincount(codes, minlength=width * width).reshape(width, width).astype(np.int32)}
    pairs, counts = np.unique(codes[labels != predicted], return_counts=True)
    return {"confused": np.stack([pairs // width, pairs % width, counts], axis=1).astype(np.int32)}
