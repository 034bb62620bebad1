"""Early stopping: a run ends when a named validation metric has not got better for some validations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from tlj.errors import InputError
from tlj.metric_names import check_metric, lower_is_better


@dataclasses.dataclass
class Stopping:
    """What early stopping waits for, and what it has seen.

    Attributes:
      metric: name of the validation metric that must get better.
      patience: validations in a row without a better value that end the run.
      min_delta: by how much a value must be better to count, in units of the metric.
      best: value so far that counted, or None before the first.
      waited: validations since then, or since the phase began.
    """

    metric: str
    patience: int
    min_delta: float
    best: float | None = None
    waited: int = 0

    def observe(self, metrics: Mapping[str, float | None]) -> None:
        """Takes in the metrics of a validation; a value that is None or not finite counts as not better."""
        value = metrics[self.metric]
        if value is not None and math.isfinite(value) and self._is_better(value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        gain = self.best - value if lower_is_better(self.metric) else value - self.best
        return gain > self.min_delta

    def begin_phase(self) -> None:
        """Begins to wait anew: what a phase newly trains has had no validation yet. The best value stays."""
        self.waited = 0

    @property
    def is_over(self) -> bool:
        """Whether the run has waited long enough."""
        return self.waited >= self.patience

    def to_json(self) -> dict[str, Any]:
        """Returns what it has seen as JSON holds it; a float survives it bit for bit."""
        return {"best": self.best, "waited": self.waited}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any], seen: Mapping[str, Any]) -> Self:
        """Returns early stopping as a run goes on with it.

        Args:
          settings: ``early_stopping`` of the resolved config.
          seen: of ``to_json``; empty for a fresh run.
        """
        return cls(**settings, **seen)


def early_stopping(config: Mapping[str, Any], seen: Mapping[str, Any]) -> Stopping | None:
    """Returns the early stopping of a run; None where its config asks for none.

    Args:
      config: resolved, nested.
      seen: of ``Stopping.to_json``; empty for a fresh run.
    """
    settings = config["early_stopping"]
    return Stopping.from_json(settings, seen) if settings["metric"] else None


def check_stopping(config: Mapping[str, Any], task: str) -> None:
    """Checks, before any work, that early stopping can do what a config asks of it.

    Args:
      config: resolved, nested.
      task: of the run, which decides its metrics.

    Raises:
      InputError: if the task has no such metric, or nothing is validated before the end.
    """
    if not (metric := config["early_stopping"]["metric"]):
        return
    check_metric(metric, task, "config.early_stopping.metric")
    if not config["evaluate"]["every"]:
        raise InputError(
            f"early stopping waits for {metric}, and nothing is validated before the end",
            where="config.evaluate.every",
            do="set it to the steps between validations, or leave early_stopping.metric empty",
        )
