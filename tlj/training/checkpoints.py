"""Orbax, wrapped: state, phase and digests in one checkpoint, latest N kept, and no restore into another phase."""

from __future__ import annotations

import pathlib
from typing import Any, Self

import jax
from orbax.checkpoint import v1 as ocp

from tlj.errors import InputError
from tlj.pretrained.runs import ORBAX_LOCK
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
      identity: what must agree between a checkpoint and the run that restores it, by name, for example the phase.
    """

    def __init__(self, directory: pathlib.Path, keep: int, identity: dict[str, Any]):
        self._identity = identity
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

    def save(self, state: TrainState, start_digests: dict[str, str]) -> None:
        """Writes a checkpoint of the state's step and waits until it is whole on disk.

        Args:
          state: to be written, merged tree and all.
          start_digests: digests taken when the phase started, so that a restart can still check its end.
        """
        with ORBAX_LOCK:
            self._checkpointer.save(
                int(state.step),
                vars_of(state),
                force=True,
                overwrite=True,
                custom_metadata={"identity": self._identity, "start_digests": start_digests},
            )

    def restore_latest(self, abstract_state: TrainState) -> tuple[TrainState, dict[str, str]] | None:
        """Restores the latest checkpoint onto the shardings of ``abstract_state``.

        Returns:
          The state and the digests of its phase's start, or None where there is no checkpoint.

        Raises:
          InputError: where the checkpoint is of another model, phase or config.
        """
        with ORBAX_LOCK:
            latest = self._checkpointer.latest
            if latest is None:
                return None
            found = self._checkpointer.metadata(latest.step).custom_metadata
            for name, wanted in self._identity.items():
                if found["identity"].get(name) != wanted:
                    raise InputError(
                        f"the checkpoint of step {latest.step} has another {name}",
                        where=str(self._checkpointer.directory),
                        do="use another workdir, or the config that wrote it",
                    )
            restored = self._checkpointer.load(latest.step, vars_of(abstract_state))
            return abstract_state.replace(**restored), found["start_digests"]


def vars_of(state: TrainState) -> dict[str, Any]:
    """Returns the fields of a state by name, the tree that is written; Orbax drops nodes without leaves by itself."""
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def abstract(state_shapes: Any, shardings: Any) -> Any:
    """Returns shapes with shardings, as Orbax and the compiler take them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_shapes, shardings
    )
