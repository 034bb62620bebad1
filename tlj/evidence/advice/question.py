"""What is asked of a comparison: a label price, a budget in dollars and a target, all of them optional."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tlj.errors import InputError
from tlj.evidence.money.prices import LARGEST, Prices, Quote
from tlj.evidence.scores.judged import Metric


@dataclass(frozen=True)
class Question:
    """What the user gave.

    Args:
      label_cost: dollars for one label by one worker.
      workers: workers who label each example.
      budget: dollars in total, for labels and training.
      target: the value of the judged metric that has to be reached.
    """

    label_cost: float | None = None
    workers: float | None = None
    budget: float | None = None
    target: float | None = None

    def __post_init__(self):
        _number(self.label_cost, "--label-cost", "dollars per label", zero=True)
        _number(self.workers, "--workers-per-label", "workers per label")
        _number(self.budget, "--budget", "dollars in total")
        if self.target is not None and not math.isfinite(self.target):
            raise InputError(f"{self.target:g} is no target", where="--target", do="give a value of the judged metric")

    def priced(self, prices: Prices | None) -> Prices | None:
        """Returns the prices with the label price and workers of the question in place of the file's.

        Raises:
          InputError: a budget is asked about, and nothing says what a label costs.
        """
        if self.label_cost is not None:
            prices = (prices or Prices()).having("labels.dollars_per_label", Quote(self.label_cost, "--label-cost"))
        if self.workers is not None:
            quote = Quote(self.workers, "--workers-per-label")
            prices = (prices or Prices()).having("labels.workers_per_label", quote)
        if self.budget is not None and (prices is None or prices.value("labels.dollars_per_label") is None):
            raise InputError(
                "a budget in dollars needs a label price",
                where="--budget",
                do="add --label-cost=DOLLARS, or labels.dollars_per_label to the prices",
            )
        return prices

    def check_target(self, metric: Metric) -> None:
        """Checks that the metric can take the value of the target.

        Raises:
          InputError: it is a share of the examples, and the target is not.
        """
        if self.target is None or not metric.is_share or 0.0 <= self.target <= 1.0:
            return
        share = f", {self.target / 100:g} for {self.target:g} %" if 1.0 < self.target <= 100.0 else ""
        raise InputError(
            f"{self.target:g} is no {metric.name}", where="--target", do=f"give a share from 0 to 1{share}"
        )


def _number(value: float | None, flag: str, meaning: str, zero: bool = False) -> None:
    if value is None or (math.isfinite(value) and value <= LARGEST and (value > 0 or (zero and value == 0))):
        return
    if value > LARGEST:
        raise InputError(f"{value:g} {meaning}", where=flag, do=f"give {LARGEST:g} or less")
    raise InputError(f"{value:g} {meaning}", where=flag, do=f"give {'0 or more' if zero else 'more than 0'}")
