"""When a run evaluates, saves and logs, and how its steps fall into calls that none of these interrupts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from tlj.freezing.phases import Phase


@dataclasses.dataclass(frozen=True)
class Dues:
    """What is due after which step; everything is due after the last.

    Attributes:
      steps: of the run.
      evaluate: steps between validations; 0 is only at the end.
      checkpoint: steps between checkpoints; 0 is only at the end.
      log: steps between lines of metrics.
      starts: steps at which a phase begins, where they are known beforehand.
    """

    steps: int
    evaluate: int
    checkpoint: int
    log: int
    starts: tuple[int, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any], phases: Sequence[Phase]) -> Self:
        """Returns what is due when in a run.

        Args:
          config: of the run, nested.
          phases: of the run.
        """
        starts = tuple(phase.start for phase in phases if isinstance(phase.start, int))
        return cls(*(config[name]["every"] if name != "steps" else config[name]
                     for name in ("steps", "evaluate", "checkpoint", "log")), starts)  # fmt: skip

    def evaluates(self, step: int) -> bool:
        """Whether the run is validated after a step."""
        return self._is_due(step, self.evaluate)

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is written after a step."""
        return self._is_due(step, self.checkpoint)

    def ends_window(self, step: int) -> bool:
        """Whether a window of metrics ends after a step: before anything interrupts, and with its phase."""
        return any(self._is_due(step, every) for every in (self.log, self.evaluate, self.checkpoint)) or (
            step in self.starts
        )

    def _is_due(self, step: int, every: int) -> bool:
        return step == self.steps or bool(every and step % every == 0)

    def calls(self, step: int, per_call: int) -> Sequence[tuple[int, int]]:
        """Returns the calls that the steps from one on fall into: the first step of each, and how many it takes.

        A call takes ``per_call`` steps, or one where a window would end within it: there are two programs at most.

        Args:
          step: that the run goes on from.
          per_call: most steps of a call.
        """
        if per_call == 1:
            return _Singly(range(step, self.steps))
        calls = []
        while step < self.steps:
            whole = not any(self.ends_window(within) for within in range(step + 1, min(step + per_call, self.steps)))
            count = per_call if whole and step + per_call <= self.steps else 1
            calls.append((step, count))
            step += count
        return calls


@dataclasses.dataclass(frozen=True)
class _Singly(Sequence):
    """Calls of one step each, which a run of a million steps need not list."""

    steps: range

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Any:
        found = self.steps[index]
        return _Singly(found) if isinstance(found, range) else (found, 1)
