"""Orbax, wrapped: state and phase in one checkpoint, latest N kept, no restore into another phase's tree or base."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import jax
from orbax.checkpoint import v1 as ocp

from tlj.errors import InputError
from tlj.freezing.phases import Phase
from tlj.pretrained.base import Base
from tlj.pretrained.runs import ORBAX_LOCK
from tlj.training.delta import Delta
from tlj.training.phase_record import PhaseRecord
from tlj.training.state import TrainState


def _context() -> ocp.Context:
    # A restore always says where each leaf goes, so the files that record where it was are not needed, and writing them
    # is a good part of a small save.
    context = ocp.Context()
    context.array.saving.enable_write_sharding_file = False
    context.array.saving.array_metadata_store = None
    return context


class Checkpoints:
    """The checkpoints of one run, as a context manager.

    Args:
      directory: of the checkpoints; made where it is missing.
      latest: how many are kept, the latest.
      config_hash: of the run's config; a checkpoint of another config is refused.
      phases: of the run; a checkpoint of another phase is refused.
      delta: what they leave out; None for checkpoints that hold everything. One of another base is refused.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        latest: int,
        config_hash: str,
        phases: Sequence[Phase],
        delta: Delta | None = None,
    ):
        self._config_hash, self._phases, self._delta = config_hash, phases, delta
        with ORBAX_LOCK:
            self._checkpointer = ocp.training.Checkpointer(
                directory.absolute(),
                context=_context(),
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=ocp.training.preservation_policies.LatestN(latest),
                cleanup_tmp_directories=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ORBAX_LOCK:
            self._checkpointer.close()

    def _identity(self, index: int) -> dict[str, str]:
        """What must agree between a checkpoint in a phase and the run that restores it."""
        phase = self._phases[index].digest if index < len(self._phases) else "none"
        return {"config": self._config_hash, "phase": phase}

    def save(self, state: TrainState, record: PhaseRecord) -> None:
        """Writes a checkpoint of the state's step and waits until it is whole on disk.

        Args:
          state: to be written, merged tree and all, but for what a delta leaves out.
          record: of the phase the run is in, so that a restart goes on in it and can still check its end.
        """
        metadata = {"identity": self._identity(record.index), "record": record.to_json()}
        if self._delta:
            metadata["base"] = dataclasses.asdict(self._delta.base_of(record.start_digests))
        with ORBAX_LOCK:
            self._checkpointer.save(
                int(state.step),
                self._kept(vars_of(state)),
                force=True,
                overwrite=True,
                custom_metadata=metadata,
            )

    def _kept(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self._delta.kept(fields) if self._delta else fields

    def restore_latest(self, abstract_state: Callable[[Phase], TrainState]) -> tuple[TrainState, PhaseRecord] | None:
        """Restores the latest checkpoint.

        Args:
          abstract_state: from a phase to the shapes and shardings of its state.

        Returns:
          The state and the record of its phase, or None where there is no checkpoint.

        Raises:
          InputError: where the checkpoint is of another model, phase or config, or a delta of another base.
        """
        with ORBAX_LOCK:
            latest = self._checkpointer.latest
            if latest is None:
                return None
            found = self._checkpointer.metadata(latest.step).custom_metadata
            record = PhaseRecord.from_json(found["record"])
            for name, wanted in self._identity(record.index).items():
                if found["identity"].get(name) != wanted:
                    raise InputError(
                        f"the checkpoint of step {latest.step} has another {name}",
                        where=str(self._checkpointer.directory),
                        do="use another workdir, or the config that wrote it",
                    )
            shapes = abstract_state(self._phases[record.index])
            return shapes.replace(**self._load(latest.step, found, vars_of(shapes))), record

    def _load(self, step: int, found: Mapping[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
        """The fields of a state by name; what the checkpoint leaves out is made again and proved first."""
        if not self._delta:
            return self._checkpointer.load(step, shapes)
        where = str(self._checkpointer.directory)
        left_out = self._delta.made(Base.from_json(found.get("base", {}), where), shapes["params"], where)
        return self._delta.whole(self._checkpointer.load(step, self._kept(shapes)), left_out, shapes)


def vars_of(state: TrainState) -> dict[str, Any]:
    """Returns the fields of a state by name, the tree that is written; Orbax drops nodes without leaves by itself."""
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def abstract(state_shapes: Any, shardings: Any) -> Any:
    """Returns shapes with shardings, as Orbax and the compiler take them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_shapes, shardings
    )
