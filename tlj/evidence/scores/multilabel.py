"""The metrics of one run on sets of classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer

METRICS = ("loss", "mean_average_precision", "macro_f1", "micro_f1", "subset_accuracy")


def metrics(
    logits: Float[np.ndarray, "example class"], labels: Integer[np.ndarray, "example class"]
) -> dict[str, float | None]:
    """Returns the metrics of sets of classes; a class is predicted where its logit is above 0.

    Args:
      logits: one row per example.
      labels: 1 where the example has the class, else 0.

    Returns:
      ``loss`` (sigmoid cross-entropy in nats, the mean over examples and classes), ``mean_average_precision`` (over the
      classes that anything has), ``macro_f1`` (over the classes that anything has or is predicted to have),
      ``micro_f1`` and ``subset_accuracy``. Loss and average precision are None where a logit is not finite; a row with
      such a logit has no right set.
    """
    from sklearn.metrics import average_precision_score

    values: dict[str, float | None] = dict.fromkeys(METRICS)
    wide, truth = logits.astype(np.float64), labels.astype(bool)
    finite = np.isfinite(wide).all(axis=1)
    predicted = (wide > 0) & finite[:, None]
    hits, named = (predicted & truth).sum(axis=0), predicted.sum(axis=0) + truth.sum(axis=0)
    values["subset_accuracy"] = float(((predicted == truth).all(axis=1) & finite).mean())
    if named.any():
        values["macro_f1"] = float((2 * hits[named > 0] / named[named > 0]).mean())
        values["micro_f1"] = float(2 * hits.sum() / named.sum())
    if finite.all():
        values["loss"] = float((np.logaddexp(0, wide) - np.where(truth, wide, 0)).mean())
        present = truth.any(axis=0)
        if present.any():
            precision = average_precision_score(truth[:, present], wide[:, present], average="macro")
            values["mean_average_precision"] = float(precision)
    return values
