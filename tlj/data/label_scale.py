"""Labels that are numbers, as a step sees them: less the mean of the training part, by its standard deviation."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int, Num

from tlj.data.label_kinds import are_numbers
from tlj.errors import InputError


@dataclasses.dataclass(frozen=True)
class LabelScale:
    """Mean and standard deviation of the training labels, in their own unit."""

    mean: float
    deviation: float

    def to_scale(self, labels: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Returns labels as a step sees them, float32."""
        return ((labels.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)

    def to_unit(self, outputs: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Returns what a model says in the unit of the labels, float32."""
        return (outputs.astype(np.float64) * self.deviation + self.mean).astype(np.float32)

    def on_batch(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns a batch with its ``label`` as a step sees it."""
        return {**batch, "label": self.to_scale(batch["label"])}


def label_scale(labels: Num[np.ndarray, "examples ..."], train: Int[np.ndarray, " train"]) -> LabelScale | None:
    """Returns the scale of a run, or None where labels are no numbers.

    Args:
      labels: of every example of the source.
      train: indices of the training part.

    Raises:
      InputError: where all training labels are one number, of which there is nothing to learn.
    """
    if not are_numbers(labels):
        return None
    wide = labels[train].astype(np.float64)
    mean, deviation = float(wide.mean()), float(wide.std())
    if deviation == 0 or np.ptp(wide) == 0:
        raise InputError(
            f"all {len(wide)} training labels are {mean:g}",
            where="config.task",
            do="use data.columns.label for another column, or a larger label budget",
        )
    return LabelScale(mean, deviation)
