"""What a checkpoint says of the run that wrote it, and what must agree before another process goes on from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tlj import config as configuration
from tlj.errors import InputError
from tlj.freezing.phases import Phase
from tlj.pretrained.stored import FORMAT
from tlj.training.run_record import RunRecord

# In the order in which a difference is told: whoever changes the model changes the config too. The words are a user's.
_NAMES = {"model": "architecture", "classes": "class list", "phase": "phase", "config": "config"}
_SHOWN = 3


def is_of_this_format(metadata: Mapping[str, Any]) -> bool:
    """Whether a checkpoint, by its custom metadata, was written as this version writes them."""
    return metadata.get("format", 1) == FORMAT


@dataclasses.dataclass(frozen=True, eq=False)
class Provenance:
    """The run that checkpoints are of.

    Attributes:
      config: hash of its config.
      model: hash of its architecture.
      classes: hash of the names of its classes, in order.
      phases: of the run.
      about: its resolved ``config`` and its ``manifest``, for whoever reads a checkpoint alone.
      evaluated: what its validations measured, ``"params"`` or ``"ema"``.
    """

    config: str
    model: str
    classes: str
    phases: Sequence[Phase]
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluated: str = "params"

    def identity(self, index: int) -> dict[str, str]:
        """Returns what must agree between a checkpoint in a phase and the run that restores it."""
        phase = self.phases[index].digest if index < len(self.phases) else "none"
        return {"config": self.config, "phase": phase, "model": self.model, "classes": self.classes}

    def metadata(self, record: RunRecord, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Returns the custom metadata of a checkpoint.

        Args:
          record: of the run at its step.
          metrics: of a validation at its step; empty where there was none.
        """
        return {
            "format": FORMAT,
            "identity": self.identity(record.phase.index),
            "record": record.to_json(),
            "metrics": dict(metrics),
            "about": dict(self.about),
            "evaluated": self.evaluated,
        }

    def record_of(self, metadata: Mapping[str, Any], step: int, where: str) -> RunRecord:
        """Returns the record of a checkpoint that this run may go on from.

        Args:
          metadata: of the checkpoint.
          step: of the checkpoint, for the error.
          where: it is, for the error.

        Raises:
          InputError: where it is of another format, architecture, class list, phase or config.
        """
        if not is_of_this_format(metadata):
            told = metadata.get("format", 1)
            raise InputError(
                f"the checkpoint of step {step} has another version: its format is {told}, that of this tlj {FORMAT}",
                where=where,
                do="use another workdir, or the version of tlj that wrote it",
            )
        record = RunRecord.from_json(metadata["record"])
        theirs, ours = metadata["identity"], self.identity(record.phase.index)
        for name, word in _NAMES.items():
            if theirs.get(name) != ours[name]:
                raise InputError(
                    f"the checkpoint of step {step} has another {word}{self._differences(metadata)}",
                    where=where,
                    do="use another workdir, or the config that wrote it",
                )
        return record

    def _differences(self, metadata: Mapping[str, Any]) -> str:
        """The first keys in which the two configs differ, for the error; empty where one of them is not told."""
        theirs, ours = metadata["about"].get("config"), self.about.get("config")
        if not theirs or not ours or not (found := configuration.diff(theirs, ours)):
            return ""
        shown = [f"{key} was {before!r} and is {now!r}" for key, (before, now) in list(found.items())[:_SHOWN]]
        more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        return f" ({', '.join([*shown, *more])})"
