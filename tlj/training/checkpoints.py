"""Orbax, wrapped: state and phase in one checkpoint, latest N kept, and no restore into another phase's tree."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
from orbax.checkpoint import v1 as ocp

from tlj.errors import InputError
from tlj.freezing.phases import Phase
from tlj.pretrained.runs import ORBAX_LOCK
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
      keep: how many of the latest are kept.
      config_hash: of the run's config; a checkpoint of another config is refused.
      phases: of the run; a checkpoint of another phase is refused.
    """

    def __init__(self, directory: pathlib.Path, keep: int, config_hash: str, phases: Sequence[Phase]):
        self._config_hash, self._phases = config_hash, phases
        with ORBAX_LOCK:
            self._checkpointer = ocp.training.Checkpointer(
                directory.absolute(),
                context=_context(),
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=ocp.training.preservation_policies.LatestN(keep),
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
          state: to be written, merged tree and all.
          record: of the phase the run is in, so that a restart goes on in it and can still check its end.
        """
        with ORBAX_LOCK:
            self._checkpointer.save(
                int(state.step),
                vars_of(state),
                force=True,
                overwrite=True,
                custom_metadata={"identity": self._identity(record.index), "record": record.to_json()},
            )

    def restore_latest(self, abstract_state: Callable[[Phase], TrainState]) -> tuple[TrainState, PhaseRecord] | None:
        """Restores the latest checkpoint.

        Args:
          abstract_state: from a phase to the shapes and shardings of its state.

        Returns:
          The state and the record of its phase, or None where there is no checkpoint.

        Raises:
          InputError: where the checkpoint is of another model, phase or config.
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
            return shapes.replace(**self._checkpointer.load(latest.step, vars_of(shapes))), record


def vars_of(state: TrainState) -> dict[str, Any]:
    """Returns the fields of a state by name, the tree that is written; Orbax drops nodes without leaves by itself."""
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def abstract(state_shapes: Any, shardings: Any) -> Any:
    """Returns shapes with shardings, as Orbax and the compiler take them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_shapes, shardings
    )
