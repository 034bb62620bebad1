"""What was measured of each arm at each label budget, with what it costs: all that advice may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tlj.evidence.judging.verdict import TOLERANCE
from tlj.evidence.money.total import by_cell
from tlj.evidence.runs import Arm, Comparison
from tlj.evidence.scores.judged import Metric

PHASED = ("lp_ft", "gradual", "freeze_out")


@dataclass(frozen=True)
class Cell:
    """An arm at a label budget.

    Args:
      arm: the arm.
      budget: the label budget.
      mean: of the judged metric over seeds, in its own direction.
      interval: of the mean, None with one seed.
      seeds: how many seeds are finished.
      verdict: the row of the summary's ``verdicts`` against the twin; None for the twin and where it is not paired.
      labels: dollars for the labels, None where they are not priced.
      training: dollars for runs and tuning trials, None where they are not priced.
      of_a_run: the part of one run in ``training``, None where it is not priced.
      trials: how many tuning trials are in ``training``.
      effort: what tells arms at one label budget apart in cost: accelerator-seconds of a run, else its FLOPs.
    """

    arm: Arm
    budget: int
    mean: float
    interval: tuple[float, float] | None
    seeds: int
    verdict: Mapping[str, Any] | None
    labels: float | None
    training: float | None
    of_a_run: float | None
    trials: int
    effort: float | None

    @property
    def word(self) -> str | None:
        """The verdict against the twin."""
        return self.verdict and self.verdict["verdict"]

    @property
    def dollars(self) -> float | None:
        """Dollars for labels and, where it is priced, training; None where labels are not priced."""
        return None if self.labels is None else self.labels + (self.training or 0.0)


@dataclass(frozen=True)
class Measured:
    """A comparison as advice sees it.

    Args:
      comparison: the runs.
      summary: its summary, priced as the question asks.
    """

    comparison: Comparison
    summary: Mapping[str, Any]

    @property
    def metric(self) -> Metric:
        """The metric that the comparison is judged by."""
        return Metric(self.summary["metric"])

    @property
    def twin(self) -> Arm:
        """The arm that the others are paired with."""
        return next(arm for arm in self.comparison.arms if arm.name == self.comparison.twin)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The twin and the transferred arms at every budget with a finished run; controls are no choice."""
        cost = self.summary["cost"]
        verdicts, money, spent = by_cell(self.summary["verdicts"]), by_cell(cost["totals"]), by_cell(cost["cells"])
        arms = {arm.name: arm for arm in self.comparison.arms if arm.role in ("twin", "transfer")}
        flops = {row["arm"]: row["training_flops_per_run"] for row in cost["arms"]}
        timed = all(row["accelerator_seconds_per_run"] is not None for row in cost["cells"])
        cells = []
        for row in self.summary["cells"]:
            key = (row["arm"], row["budget"])
            if row["arm"] not in arms or row["mean"] is None:
                continue
            cells.append(
                Cell(
                    arm=arms[row["arm"]],
                    budget=row["budget"],
                    mean=row["mean"],
                    interval=row["interval"] and tuple(row["interval"]),
                    seeds=len(row["seeds"]),
                    verdict=verdicts.get(key),
                    labels=money.get(key, {}).get("labels"),
                    training=money.get(key, {}).get("training"),
                    of_a_run=spent.get(key, {}).get("dollars_per_run"),
                    trials=spent.get(key, {}).get("tuning_trials", 0),
                    effort=spent[key]["accelerator_seconds_per_run"] if timed and key in spent else flops[row["arm"]],
                )
            )
        return tuple(cells)

    def at(self, budget: int) -> list[Cell]:
        """The cells at a label budget."""
        return [cell for cell in self.cells if cell.budget == budget]

    def quality(self, cell: Cell) -> float:
        """The mean so that more is better."""
        return self.metric.sign * cell.mean

    def reaches(self, cell: Cell, target: float) -> bool:
        """Whether the mean of a cell is at least as good as a target."""
        return self.quality(cell) >= self.metric.sign * target - TOLERANCE

    def surely_reaches(self, cell: Cell, target: float) -> bool:
        """Whether the whole interval of a cell is."""
        ends = cell.interval or (float("nan"),)
        return all(self.metric.sign * end >= self.metric.sign * target - TOLERANCE for end in ends)

    def phased(self, arm: Arm) -> bool:
        """Whether an arm trains different parameters at different times, so that it is a hybrid."""
        named = arm.strategy.partition("+")[0].partition(":")[0] in PHASED
        runs = (run.summary for run in self.comparison.runs if run.key.arm == arm.name)
        return named or any(run.get("phases_planned", 1) > 1 for run in runs)
