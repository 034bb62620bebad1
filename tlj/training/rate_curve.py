"""What a learning-rate range test says: the loss over rates that grow, made smooth, and the rates that it suggests.

L. N. Smith 2017 (arXiv:1506.01186, section 3.3). Nothing here trains.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from tlj.errors import InputError

# Decay of the moving average of the loss; over it, a loss that is that many times the best has diverged.
SMOOTHING, DIVERGED = 0.9, 4.0
FEWEST_STEPS = 20
# The part of the steps at an end of the range within which a finding says that the range ends too soon.
EDGE = 0.1


@dataclasses.dataclass(frozen=True)
class RateRange:
    """Rates that grow by the same factor from step to step.

    Attributes:
      lowest: of the first step.
      highest: of the last.
      steps: of the test.
    """

    lowest: float = 1e-6
    highest: float = 1.0
    steps: int = 100

    def __post_init__(self) -> None:
        for flag, rate in (("--lowest", self.lowest), ("--highest", self.highest)):
            if not (rate > 0 and math.isfinite(rate)):
                raise InputError(f"{rate!r} is no learning rate", where=flag, do="give a number above 0")
        if self.highest <= self.lowest:
            what = f"the highest rate, {self.highest:g}, is not above the lowest, {self.lowest:g}"
            raise InputError(what, where="--highest", do="give a higher one")
        if self.steps < FEWEST_STEPS:
            raise InputError(f"{self.steps} steps", where="--steps", do=f"give at least {FEWEST_STEPS}")

    def rates(self) -> Float[np.ndarray, " steps"]:
        """Returns the rate of each step."""
        return np.geomspace(self.lowest, self.highest, self.steps)


@dataclasses.dataclass(frozen=True, eq=False)
class RateCurve:
    """The losses of a range test, as far as it went.

    Attributes:
      range: that the test was to go through.
      rates: of the steps taken.
      losses: of their batches, each before its own update; the last may not be finite.
    """

    range: RateRange
    rates: Float[np.ndarray, " taken"]
    losses: Float[np.ndarray, " taken"]

    def _finite(self) -> int:
        return int(np.isfinite(self.losses).cumprod().sum())

    @property
    def smoothed(self) -> Float[np.ndarray, " finite"]:
        """The moving average of the losses up to the first that is not finite."""
        return moving_average(self.losses[: self._finite()])

    @property
    def smoothed_rates(self) -> Float[np.ndarray, " finite"]:
        """The rates that the smoothed losses belong to: averaged with the same weights, or they would lag behind."""
        return np.exp(moving_average(np.log(self.rates[: self._finite()])))

    @property
    def has_diverged(self) -> bool:
        """Whether the test is over: a loss is not finite, or the smoothed loss is many times the best."""
        if self._finite() < len(self.losses):
            return True
        smoothed = self.smoothed
        return bool(len(smoothed) and smoothed[-1] > DIVERGED * smoothed.min())

    @property
    def _edge(self) -> int:
        return int(EDGE * self.range.steps)

    @property
    def _stretch(self) -> int:
        return max(2, self.range.steps // 20)

    def _lowest_loss(self) -> int:
        return int(np.argmin(self.smoothed)) if self._finite() else 0

    def _slopes(self) -> Float[np.ndarray, " stretches"]:
        """How fast the loss falls, in stretches a twentieth of the range long, up to its minimum.

        The first losses are averages of too few to tell a slope from noise.
        """
        length, first = self._stretch, self._edge
        smoothed, places = self.smoothed[first:], np.log(self.smoothed_rates)[first:]
        whole = max(0, self._lowest_loss() + 1 - first - length)
        return (smoothed[length:] - smoothed[:-length])[:whole] / (places[length:] - places[:-length])[:whole]

    def _steepest(self) -> int | None:
        """The step in the middle of the stretch in which the loss falls fastest; None where it does not fall."""
        slopes = self._slopes()
        falls = len(slopes) and slopes.min() < 0
        return self._edge + int(np.argmin(slopes)) + self._stretch // 2 if falls else None

    def suggestion(self) -> dict[str, float | None]:
        """Returns ``steepest``, the rate at which the loss falls fastest, and ``tenth``, a tenth of its minimum's.

        Both are None where the loss does not fall.
        """
        steepest = self._steepest()
        if steepest is None:
            return {"steepest": None, "tenth": None}
        rates = self.smoothed_rates
        return {"steepest": float(rates[steepest]), "tenth": float(rates[self._lowest_loss()]) / 10}

    def shortcomings(self) -> list[str]:
        """Returns what keeps the suggestion from being sound, each with what to do; nothing where it is."""
        diverged, found = self.has_diverged, []
        if self._steepest() is None:
            do = "lower --lowest" if diverged else "raise --highest, or give more --steps"
            return [f"the loss does not fall between {self.rates[0]:.2g} and {self.rates[-1]:.2g}: {do}"]
        slopes = self._slopes()
        if slopes[0] < slopes.min() / 2:
            found.append(f"the loss already falls at the lowest rate, {self.range.lowest:.2g}: lower --lowest")
        if not diverged and self._lowest_loss() >= self.range.steps - self._edge:
            found.append(f"the loss still falls at the highest rate, {self.range.highest:.2g}: raise --highest")
        return found

    def to_json(self) -> dict[str, Any]:
        """Returns the curve, what it suggests and what it lacks, as JSON holds it: a loss not finite is None."""
        return {
            **dataclasses.asdict(self.range),
            "diverged": self.has_diverged,
            "rates": self.rates.tolist(),
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses.tolist()],
            "smoothed": self.smoothed.tolist(),
            "smoothed_rates": self.smoothed_rates.tolist(),
            "suggestion": self.suggestion(),
            "shortcomings": self.shortcomings(),
        }


def moving_average(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns the exponential moving average of values, each divided by the sum of its weights (Adam's correction)."""
    averages, total, weight = np.empty(len(values)), 0.0, 0.0
    for place, value in enumerate(values):
        total = SMOOTHING * total + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        averages[place] = total / weight
    return averages
