"""Where a run is among its phases; it travels with every checkpoint, so that a restart goes on unchanged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from tlj.freezing.phases import Plateau


@dataclasses.dataclass
class PhaseRecord:
    """The phase a run is in, and what is remembered of it and of those before.

    Attributes:
      start_digests: of every parameter and statistic when the phase started.
      starts: the step at which each phase so far started; the last one is where the run is.
      lowest_loss: the lowest validation loss since the phase started, in nats, or None before the first.
      waited: validations since then that were not lower.
      never_moved: parameters that never moved in an earlier phase that trained them.
      flops: of all steps so far of each phase so far, on all devices; batches of several lengths differ in theirs.
    """

    start_digests: dict[str, str]
    starts: list[int] = dataclasses.field(default_factory=lambda: [0])
    lowest_loss: float | None = None
    waited: int = 0
    never_moved: list[str] = dataclasses.field(default_factory=list)
    flops: list[float] = dataclasses.field(default_factory=list)

    @property
    def index(self) -> int:
        """The number of the phase, from 0."""
        return len(self.starts) - 1

    def observe(self, loss: float, min_delta: float) -> None:
        """Takes in a validation loss of this phase; one that is not a number counts as not lower."""
        lowest = math.inf if self.lowest_loss is None else self.lowest_loss
        if loss < lowest - min_delta:
            self.lowest_loss, self.waited = loss, 0
        else:
            self.waited += 1

    def count(self, flops: float) -> None:
        """Takes in one step of this phase, by its FLOPs on all devices."""
        done = [*self.flops, *[0.0] * (len(self.starts) - len(self.flops))]
        self.flops = [*done[:-1], done[-1] + flops]

    def is_over(self, following: int | Plateau | None, step: int) -> bool:
        """Whether the phase is over at a step, by what the following phase waits for; None is no following phase."""
        if isinstance(following, Plateau):
            return self.waited >= following.patience
        return following is not None and step >= following

    def enter_next(self, step: int, start_digests: dict[str, str], never_moved: list[str]) -> None:
        """Begins the next phase.

        Args:
          step: at which it begins.
          start_digests: of the state it begins with.
          never_moved: of the phase that ended.
        """
        self.starts = [*self.starts, step]
        self.start_digests, self.lowest_loss, self.waited = start_digests, None, 0
        self.never_moved = sorted({*self.never_moved, *never_moved})

    def to_json(self) -> dict[str, Any]:
        """Returns the record as JSON holds it; a float survives it bit for bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns the record that ``to_json`` wrote."""
        return cls(**content)
