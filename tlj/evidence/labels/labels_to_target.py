"""How many labels each arm needs for what the twin reaches: effective data, read the other way round."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlj.evidence.labels.effective_data import RESAMPLES, EffectiveData, invert
from tlj.evidence.labels.resampling import Losses, cells_of


@dataclass(frozen=True)
class LabelsToTarget:
    """The labels with which an arm reaches what the twin reaches with ``twin_labels``.

    Args:
      arm: the arm.
      twin_labels: the labels of the twin whose result is the target.
      measure: the loss that is to be reached, ``nll`` or ``error``.
      target: that loss, the geometric mean of the twin's runs.
      labels: what the arm needs; a bound where censored.
      censored: ``above`` (more than the largest budget would do), ``below``, or None.
      interval: a 95 % interval, of the target and the arm's curve together; None with one seed.
      interval_censored: for each end what ``censored`` is for the estimate.
    """

    arm: str
    twin_labels: int
    measure: str
    target: float
    labels: float
    censored: str | None
    interval: tuple[float, float] | None
    interval_censored: tuple[str | None, str | None]

    def to_json(self) -> dict[str, Any]:
        """Returns the row as it stands in ``summary.json``."""
        return {
            "arm": self.arm,
            "twin_labels": self.twin_labels,
            "measure": self.measure,
            "target": self.target,
            "labels": self.labels,
            "censored": self.censored,
            "interval": None if self.interval is None else list(self.interval),
            "interval_censored": list(self.interval_censored),
        }


def labels_to_target(
    twin: str, losses: Mapping[str, Losses], measure: str, resamples: int = RESAMPLES
) -> list[LabelsToTarget]:
    """Reads off every arm's own curve how many labels it needs for each result of the twin.

    Args:
      twin: the arm whose results are the targets.
      losses: ``{arm: {budget: positive losses, by seed or as a list}}``.
      measure: the name of the loss, ``nll`` or ``error``.
      resamples: the number of bootstrap resamples.

    Returns:
      A row per arm but the twin and budget of the twin.
    """
    rows = []
    targets = {cell.budget: math.exp(cell.mean) for cell in cells_of(losses) if cell.arm == twin}
    for arm in losses:
        if arm != twin and targets:
            inversion = invert(arm, {arm: losses[arm], twin: losses[twin]}, measure, resamples)
            rows += [_row(arm, row, targets[row.budget]) for row in inversion.rows] if inversion else []
    return rows


def _row(arm: str, row: EffectiveData, target: float) -> LabelsToTarget:
    return LabelsToTarget(
        arm,
        row.budget,
        row.measure,
        target,
        row.effective_labels,
        row.censored,
        row.interval,
        row.interval_censored,
    )
