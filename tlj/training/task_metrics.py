"""The metrics of every task, from what was predicted for all examples of a part, in float64.

A metric that labels leave undefined, such as the AUROC of one class, is None; one of a run that diverged is NaN.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

Metrics = dict[str, float | None]


def loss_and_accuracy(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Returns mean cross-entropy in nats and accuracy, computed in float64."""
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # a run that diverged has a loss that is not a number
        log_partition = np.logaddexp.reduce(wide, axis=-1)
        loss = log_partition - wide[np.arange(len(labels)), labels]
    return float(loss.mean()), float((logits.argmax(-1) == labels).mean())


def of_classes(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> Metrics:
    """Returns loss and accuracy."""
    loss, accuracy = loss_and_accuracy(logits, labels)
    return {"loss": loss, "accuracy": accuracy}


def of_two_classes(logits: Float[np.ndarray, "n 2"], labels: Int[np.ndarray, " n"]) -> Metrics:
    """Returns loss, accuracy, and the area under the ROC curve of the second class: None where one class is absent."""
    found, score = of_classes(logits, labels), logits[:, 1].astype(np.float64) - logits[:, 0]
    if len(np.unique(labels)) < 2:
        return {**found, "auroc": None}
    if not np.isfinite(score).all():
        return {**found, "auroc": float("nan")}
    from sklearn.metrics import roc_auc_score

    return {**found, "auroc": float(roc_auc_score(labels, score))}


def of_sets(logits: Float[np.ndarray, "n classes"], labels: Int8[np.ndarray, "n classes"]) -> Metrics:
    """Returns the metrics of sets of classes; a class is predicted where its logit is above 0.

    The loss is the mean over examples and classes. Macro F1 is the mean over the classes that anything has or is
    predicted to have; mean average precision that over the classes that anything has.
    """
    wide, truth = logits.astype(np.float64), labels.astype(bool)
    with np.errstate(invalid="ignore"):
        loss = (np.logaddexp(0, wide) - np.where(truth, wide, 0)).mean()
        predicted = wide > 0
    hits, named = (predicted & truth).sum(0), predicted.sum(0) + truth.sum(0)
    return {
        "loss": float(loss),
        "mean_average_precision": _mean_average_precision(wide, truth),
        "macro_f1": float((2 * hits[named > 0] / named[named > 0]).mean()) if named.any() else None,
        "micro_f1": float(2 * hits.sum() / named.sum()) if named.any() else None,
        "subset_accuracy": float((predicted == truth).all(1).mean()),
    }


def _mean_average_precision(wide: Float[np.ndarray, "n classes"], truth: Bool[np.ndarray, "n classes"]) -> float | None:
    present = truth.any(0)
    if not present.any():
        return None
    if not np.isfinite(wide).all():
        return float("nan")
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth[:, present], wide[:, present], average="macro"))


def of_numbers(logits: Float[np.ndarray, "n 1"], labels: Float[np.ndarray, " n"]) -> Metrics:
    """Returns the metrics of numbers, in the unit of the labels; the loss is the mean squared error.

    R2 is None where all labels are alike, a correlation also where all predictions are.
    """
    predicted, wanted = logits[:, 0].astype(np.float64), labels.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = predicted - wanted
        squared = float(np.square(error).mean())
        found: Metrics = {"loss": squared, "rmse": float(np.sqrt(squared)), "mae": float(np.abs(error).mean())}
    if np.ptp(wanted) == 0:
        return {**found, "r2": None, "pearson": None, "spearman": None}
    if not np.isfinite(predicted).all():
        return {**found, **dict.fromkeys(("r2", "pearson", "spearman"), float("nan"))}
    found["r2"] = 1 - squared / float(wanted.var())
    if np.ptp(predicted) == 0:
        return {**found, "pearson": None, "spearman": None}
    from scipy.stats import pearsonr, spearmanr

    return {
        **found,
        "pearson": float(pearsonr(predicted, wanted).statistic),
        "spearman": float(spearmanr(predicted, wanted).statistic),
    }
