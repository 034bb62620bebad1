"""Scores of one run, from the logits and labels of its predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from tlj.evidence.predictions import CLASSES, NUMBERS, kind_of
from tlj.evidence.scores import classes, multilabel, regression
from tlj.evidence.scores.calibration import fit_temperature

Labelled = tuple[Float[np.ndarray, "example class"], Num[np.ndarray, "example ..."]]


@dataclass(frozen=True)
class Scores:
    """What one run reached on its test set.

    Args:
      accuracy: the share of examples whose largest logit is the label, in [0, 1]; of sets of classes the share of
        examples whose set is exactly right; None of numbers.
      loss: the mean loss of the task, in nats for classes; infinite where a logit is not finite.
      examples: the number of test examples.
      values: every metric by name; None where it is not defined.
      details: ``confusion`` and ``reliability`` of a run of classes, where they were asked for.
      temperature: that the logits are divided by after scaling; None without validation examples.
      groups: what the groups of the test set reached; None where the data have no groups.
      shifts: what each shifted test set reached, by name.
      best: the scores of the run's best checkpoint; None where it was not tested.
    """

    accuracy: float | None
    loss: float
    examples: int
    values: Mapping[str, float | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    groups: Any = None
    shifts: Mapping[str, Any] = field(default_factory=dict)
    best: Scores | None = None

    @property
    def floored_error(self) -> float | None:
        """The error rate, held at half an example: a run without an error still has a finite log error."""
        return None if self.accuracy is None else max(1.0 - self.accuracy, 0.5 / self.examples)

    def value(self, name: str) -> float | None:
        """Returns a metric by name, or None where it is not defined for this run; never NaN or infinite."""
        value = self.values.get(name, {"accuracy": self.accuracy, "nll": self.loss, "loss": self.loss}.get(name))
        return None if value is None or not math.isfinite(value) else value


def score(
    logits: Float[np.ndarray, "example class"],
    labels: Num[np.ndarray, "example ..."],
    validation: Labelled | None = None,
    detailed: bool = False,
) -> Scores:
    """Scores one run by every metric of its kind of labels.

    Args:
      logits: one row per test example.
      labels: class indices, rows of 0 and 1, or numbers.
      validation: logits and labels that the temperature is fitted on; None where there are none.
      detailed: whether to keep the confusions and the reliability bins, too.

    Returns:
      The scores; no logits are kept.
    """
    kind, details, temperature = kind_of(labels), {}, None
    if kind == CLASSES:
        temperature = None if validation is None else fit_temperature(*validation)
        values, details = classes.metrics(logits, labels, temperature)
    else:
        values = regression.metrics(logits, labels) if kind == NUMBERS else multilabel.metrics(logits, labels)
    share, loss = ("accuracy", "nll") if kind == CLASSES else ("subset_accuracy", "loss")
    return Scores(
        accuracy=values.get(share),
        loss=math.inf if values[loss] is None else values[loss],
        examples=len(labels),
        values=values,
        details=details if detailed else {},
        temperature=temperature,
    )
