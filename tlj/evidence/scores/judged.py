"""The metric that a comparison is judged by: its values, native and so that more is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlj.errors import unknown_name
from tlj.metric_names import judged_names, lower_is_better

if TYPE_CHECKING:
    from tlj.evidence.runs import Comparison

SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "auroc", "mean_average_precision", "subset_accuracy")


@dataclass(frozen=True)
class Metric:
    """A metric by name.

    Args:
      name: such as ``accuracy`` or ``nll``.
    """

    name: str = "accuracy"

    @property
    def lower_is_better(self) -> bool:
        """Whether it is an error or a loss."""
        return lower_is_better(self.name)

    @property
    def is_share(self) -> bool:
        """Whether it lies in [0, 1], so that differences are said in points."""
        return self.name in SHARES

    @property
    def sign(self) -> int:
        """What a native value is multiplied by so that more is better."""
        return -1 if self.lower_is_better else 1


def metric_of(comparison: Comparison) -> Metric:
    """Returns the metric that a comparison is judged by.

    Args:
      comparison: the runs.

    Raises:
      InputError: there is no such metric, or the finished runs, whose labels are of another kind, do not have it.
    """
    name, where = comparison.declared["metric"], str(comparison.directory / "comparison.json")
    known = judged_names()
    if name in known and comparison.runs:
        values = comparison.runs[0].scores.values
        known = known if not values else tuple(each for each in known if each in values)
    if name not in known:
        raise unknown_name("metric", name, known, where=where)
    return Metric(name)


def judged(comparison: Comparison, arm: str, budget: int) -> Mapping[int, float]:
    """Returns what the runs of an arm at a label budget reached in the metric that the comparison is judged by.

    Args:
      comparison: the runs.
      arm: the arm.
      budget: the label budget.

    Returns:
      The metric by seed, in its own direction; a run for which it is not defined is left out.
    """
    name = metric_of(comparison).name
    found = {seed: scores.value(name) for seed, scores in comparison.cell(arm, budget).items()}
    return {seed: value for seed, value in found.items() if value is not None}


def oriented(comparison: Comparison, arm: str, budget: int) -> Mapping[int, float]:
    """Returns the same values so that more is better: losses and errors are negated."""
    sign = metric_of(comparison).sign
    return {seed: sign * value for seed, value in judged(comparison, arm, budget).items()}
