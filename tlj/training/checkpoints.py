"""Orbax, wrapped: the checkpoints of a run, written while it goes on, and read again only where they are whole."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import time
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import jax
from orbax.checkpoint import v1 as ocp

from tlj.distributed import is_main
from tlj.errors import RunError
from tlj.freezing.phases import Phase
from tlj.pretrained.base import Base
from tlj.pretrained.inventory import read_metadata, take_inventory
from tlj.pretrained.stored import ORBAX_LOCK
from tlj.training.damaged import UNFINISHED, examine, put_in_order, steps_on_disk
from tlj.training.delta import Delta
from tlj.training.provenance import Provenance
from tlj.training.retention import Retention
from tlj.training.run_record import RunRecord
from tlj.training.state import TrainState

_NO_METRICS: Mapping[str, float] = types.MappingProxyType({})


class Checkpoints:
    """The checkpoints of one run, as a context manager; leaving it waits for the one that is being written.

    Args:
      directory: of the checkpoints; made by the first save.
      retention: which of them are kept.
      provenance: of the run; a checkpoint of another is refused.
      delta: what they leave out; None for checkpoints that hold everything. One of another base is refused.
      background: whether ``save`` returns once it has the arrays, before they are on disk.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        retention: Retention,
        provenance: Provenance,
        *,
        delta: Delta | None = None,
        background: bool = True,
    ):
        self._directory, self._retention, self._provenance = directory.absolute(), retention, provenance
        self._delta, self._background = delta, background
        self._orbax: ocp.training.Checkpointer | None = None
        self._policy, self._latest = _Policy(retention), None
        # The step and the metadata of the checkpoint that is on its way to the disk, or was the last to be so.
        self._writing: tuple[int, dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self.wait()
            self._close()
        except RunError as failure:
            if error is None:
                raise
            warnings.warn(f"tlj: {failure}", stacklevel=2)

    def _close(self) -> None:
        """Closes Orbax, which waits once more: Ctrl-C in the middle of a save leaves one that ``wait`` knows not of."""
        if self._orbax:
            try:
                with ORBAX_LOCK:
                    self._orbax.close()
            except Exception as error:
                if not self._writing:
                    raise
                raise self._failure(error) from error

    @property
    def latest(self) -> int | None:
        """The step of the latest checkpoint, on disk or on its way there; None where this process knows of none."""
        return self._latest

    def is_among_best(self, record: RunRecord, metrics: Mapping[str, float]) -> bool:
        """Whether a checkpoint of now would be kept for its metrics.

        Args:
          record: of the run, before that checkpoint.
          metrics: of a validation of now.
        """
        return self._retention.admits(record.best, metrics)

    def save(self, state: TrainState, record: RunRecord, metrics: Mapping[str, float] = _NO_METRICS) -> None:
        """Writes a checkpoint of the state's step, once the one before it is on disk; a step is written once.

        The state may be donated as soon as this returns.

        Args:
          state: to be written, merged tree and all, but for what a delta leaves out.
          record: of the run, so that a restart goes on from it; its ``best`` takes this step in.
          metrics: of a validation at this step; empty where there was none.

        Raises:
          RunError: where this checkpoint, or the one before it, could not be written.
        """
        step = int(state.step)
        if step == self._latest:
            return
        self.wait()
        record.best = self._policy.best = self._retention.best_with(record.best, step, metrics)
        metadata = self._provenance.metadata(record, metrics)
        if self._delta:
            metadata["base"] = dataclasses.asdict(self._delta.base_of(record.phase.start_digests))
        self._writing, self._latest = (step, metadata), step
        try:
            with ORBAX_LOCK:
                self._opened().save_async(step, self._kept(vars_of(state)), force=True, custom_metadata=metadata)
        except Exception as error:
            raise self._failure(error) from error
        if not self._background:
            self.wait()

    def wait(self) -> None:
        """Returns when all that was saved is on disk.

        Raises:
          RunError: where it could not be written.
        """
        if self._writing and self._orbax:
            try:
                self._orbax.wait()
            except Exception as error:
                raise self._failure(error) from error

    def restore_latest(self, abstract_state: Callable[[Phase], TrainState]) -> tuple[TrainState, RunRecord] | None:
        """Restores the latest checkpoint that is whole; damaged ones after it are told of and put aside.

        Args:
          abstract_state: from a phase to the shapes and shardings of its state.

        Returns:
          The state and the record of the run at its step, or None where there is no checkpoint.

        Raises:
          InputError: where the checkpoint is of another run, or a delta of another base; nothing on disk has changed.
          RunError: where there are checkpoints and all are damaged; nothing on disk has changed.
        """
        examined = examine(self._directory)
        restored = self._load(examined.whole[-1], abstract_state) if examined.whole else None
        put_in_order(self._directory, examined)
        if restored:
            self._latest, self._policy.best = examined.whole[-1], restored[1].best
            # A process may have ended between a save and the removal of what it replaced.
            for surplus in sorted({*examined.whole} - self._policy.kept(examined.whole)):
                with ORBAX_LOCK:
                    self._opened().delete(surplus)
        return restored

    def _load(self, step: int, abstract_state: Callable[[Phase], TrainState]) -> tuple[TrainState, RunRecord]:
        where, folder = str(self._directory), self._directory / str(step)
        metadata = read_metadata(folder) or {}
        record = self._provenance.record_of(metadata, step, where)
        shapes = abstract_state(self._provenance.phases[record.phase.index])
        fields, left_out = vars_of(shapes), {}
        if self._delta:
            left_out = self._delta.made(Base.from_json(metadata.get("base", {}), where), shapes.params, where)
        with ORBAX_LOCK:
            loaded = ocp.load(folder, self._kept(fields))
        return shapes.replace(**self._delta.whole(loaded, left_out, fields) if self._delta else loaded), record

    def _kept(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self._delta.kept(fields) if self._delta else fields

    def _opened(self) -> ocp.training.Checkpointer:
        """Orbax's own object, made late: it keeps a list of what is on disk, and makes the directory."""
        if self._orbax is None:
            self._orbax = ocp.training.Checkpointer(
                self._directory,
                # Orbax copies its options deeply: a method would be copied with its object, a function is not.
                context=_context(lambda: self._commit()),
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=self._policy,
            )
        return self._orbax

    def _commit(self) -> None:
        """Orbax calls this, on the main process, when all is written and before it renames the folder."""
        step, metadata = self._writing
        take_inventory(self._directory / f"{step}{UNFINISHED}", metadata)

    def _failure(self, error: Exception) -> RunError:
        """The error of a checkpoint that could not be written, whose rest is removed to make room for other files."""
        step, _ = self._writing
        # Orbax would tell of the same once more when it is closed.
        self._writing = self._latest = self._orbax = None
        if is_main():
            _remove(self._directory / f"{step}{UNFINISHED}")
        said = f"{type(error).__name__}: {error}"
        full = "No space left" in said
        reason = "no space left on the disk" if full else said.partition("\n")[0][:300]
        others = [other for other in steps_on_disk(self._directory) if other != step]
        last = f"the last good one is of step {others[-1]}" if others else "there is none before it"
        does = "goes on from there" if others else "begins anew"
        return RunError(
            f"{self._directory}: the checkpoint of step {step} could not be written ({reason}); {last}; "
            f"{'make room' if full else 'mend that'} or use another workdir, and run it again: it {does}"
        )


def _remove(unfinished: pathlib.Path) -> None:
    """Removes what is left of a save that failed, to which a thread of Orbax may still be writing (0.12.8)."""
    deadline = time.monotonic() + 2
    while unfinished.exists() and time.monotonic() < deadline:
        shutil.rmtree(unfinished, ignore_errors=True)
        time.sleep(0.01)


@dataclasses.dataclass
class _Policy:
    """What Orbax asks, when a checkpoint is whole, which others stay."""

    retention: Retention
    best: Sequence[tuple[int, float]] = ()

    def kept(self, steps: Iterable[int]) -> set[int]:
        return self.retention.kept(steps, self.best)

    def should_preserve(self, checkpoints: Sequence[Any], *, context: object) -> list[bool]:
        kept = self.kept(checkpoint.step for checkpoint in checkpoints)
        return [checkpoint.step in kept for checkpoint in checkpoints]


def _context(commit: Callable[[], None]) -> ocp.Context:
    context = ocp.Context()
    # A restore always says where each leaf goes, so the files that record where it was are not needed, and writing them
    # is a good part of a small save.
    context.array.saving.enable_write_sharding_file = False
    context.array.saving.array_metadata_store = None
    # Weights hardly shrink, and compressing them takes twice the processor time and twice as long to write.
    context.array.saving.use_compression = False
    # Otherwise threads that write arrays wait for a signal that the folders are made, which is named by a number that
    # all saves of the process share: two at once mix them up, and where a folder cannot be made the process ends only
    # when they have waited 300 s (measured, 0.12.8).
    context.async_options.create_directories_asynchronously = False
    context.async_options.post_finalization_callback = commit
    return context


def vars_of(state: TrainState) -> dict[str, Any]:
    """Returns the fields of a state by name, the tree that is written; Orbax drops nodes without leaves by itself."""
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def abstract(state_shapes: Any, shardings: Any) -> Any:
    """Returns shapes with shardings, as Orbax and the compiler take them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_shapes, shardings
    )
