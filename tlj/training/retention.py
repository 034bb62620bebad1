"""Which checkpoints of a run are kept: the latest, and the best by a validation metric.

Orbax has policies for this. Theirs for the best goes by files that it reads again after a restart, lets a tie push out
the earlier step and sorts what is not a number anywhere; here the record of the run says it, and travels with it.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from tlj.errors import InputError, unknown_name
from tlj.metric_names import check_metric, lower_is_better

# Later than any step, so that it loses every tie.
_NOW = sys.maxsize


@dataclasses.dataclass(frozen=True)
class Retention:
    """Which checkpoints are kept.

    Attributes:
      latest: how many, the latest.
      best: how many besides, the best.
      metric: validation metric that the best are best by.
    """

    latest: int
    best: int = 0
    metric: str = "validation_loss"

    def best_with(
        self, best: Iterable[tuple[int, float]], step: int, metrics: Mapping[str, float | None]
    ) -> list[tuple[int, float]]:
        """Returns the best, best first, once a checkpoint is taken in; of two alike the earlier is the better.

        Args:
          best: steps and values so far.
          step: of the checkpoint.
          metrics: of a validation at that step; empty where there was none.

        Raises:
          InputError: where the validation does not measure the metric.
        """
        best = list(best)
        if not self.best or not metrics:
            return best
        if self.metric not in metrics:
            raise unknown_name("metric", self.metric, metrics, where="config.checkpoint.metric")
        value = metrics[self.metric]
        if value is None or not math.isfinite(value):
            return best
        sign = 1 if lower_is_better(self.metric) else -1
        others = [(other, theirs) for other, theirs in best if other != step]
        return sorted([*others, (step, value)], key=lambda entry: (sign * entry[1], entry[0]))[: self.best]

    def kept(self, steps: Iterable[int], best: Iterable[tuple[int, float]]) -> set[int]:
        """Returns which steps stay, of those there are.

        Args:
          steps: that have a checkpoint.
          best: steps and values, as ``best_with`` returns them.
        """
        steps = set(steps)
        return set(sorted(steps)[-self.latest :]) | (steps & {step for step, _ in best})

    def admits(self, best: Iterable[tuple[int, float]], metrics: Mapping[str, float | None]) -> bool:
        """Returns whether a checkpoint of now, with these metrics, would be among the best; see ``best_with``."""
        return any(step == _NOW for step, _ in self.best_with(best, _NOW, metrics))


def check_best(config: Mapping[str, Any]) -> None:
    """Checks, before any work, that the best checkpoints can be told.

    Args:
      config: resolved, nested, of the run.

    Raises:
      InputError: for a metric that its task has not, where nothing is validated before the end, or where the best is
        to be tested and none is kept.
    """
    settings = config["checkpoint"]
    if not settings["best"]:
        if config["evaluate"]["best"]:
            raise InputError(
                "config.evaluate.best is to test the best checkpoint, and config.checkpoint.best keeps none",
                where="config.checkpoint.best",
                do="set it to at least 1, or config.evaluate.best to false",
            )
        return
    check_metric(settings["metric"], config["task"], "config.checkpoint.metric")
    if not config["evaluate"]["every"]:
        raise InputError(
            "the best checkpoints are to be kept, and nothing is validated before the end",
            where="config.evaluate.every",
            do="set it to the steps between validations, or config.checkpoint.best to 0",
        )
