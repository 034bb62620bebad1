"""What a run remembers besides its state; it travels with every checkpoint, so that a restart goes on unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from tlj.training.phase_record import PhaseRecord


@dataclasses.dataclass
class RunRecord:
    """Where a run is, what it measured, and what it has seen of its validations.

    Attributes:
      phase: where it is among its phases.
      clock: what it measured so far (``Clock.to_json``).
      best: step and value of the checkpoints that are kept for being the best, best first.
      stopping: what early stopping remembers (``Stopping.to_json``); empty without it.
      stopped_at: the step that early stopping ended the run at, or None.
      skipped: updates left out so far because a loss or gradient was not finite.
      window: metrics of the steps since the last line of the log (``Window.cut``); empty where a line ended.
    """

    phase: PhaseRecord
    clock: dict[str, Any] = dataclasses.field(default_factory=dict)
    best: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    stopping: dict[str, Any] = dataclasses.field(default_factory=dict)
    stopped_at: int | None = None
    skipped: int = 0
    window: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the record as JSON holds it; a float survives it bit for bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns the record that ``to_json`` wrote."""
        best = [(step, value) for step, value in content["best"]]
        return cls(**{**content, "phase": PhaseRecord.from_json(content["phase"]), "best": best})
