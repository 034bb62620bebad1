"""A checkpoint on disk: what it says of itself, and its parameters, without any other file of its run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from orbax.checkpoint import v1 as ocp

from tlj.errors import InputError
from tlj.pretrained.base import Base, complete_params
from tlj.pretrained.inventory import MARK, find_damage, read_metadata

# Orbax numbers its operations per process: two saves at once in two threads wait for each other's signals until a
# timeout of 300 s (measured, 0.12.8). Whoever reads or writes a checkpoint holds this.
ORBAX_LOCK = threading.RLock()

# Of the layout of a checkpoint and of what it says of itself.
FORMAT = 2


@dataclasses.dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint on disk, not read yet.

    Attributes:
      folder: of the checkpoint.
      run: the directory of the run that it lies in; its own folder, or the one that holds it, where it lies apart.
      named: the step that the name of its folder tells; None for a copy under another name.
      others: steps of the checkpoints beside it.
    """

    folder: pathlib.Path
    run: pathlib.Path
    named: int | None = None
    others: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "this checkpoint" if self.named is None else f"the checkpoint of step {self.named}"

    @functools.cached_property
    def step(self) -> int:
        """The step that it is of.

        Raises:
          InputError: where only its arrays tell, and they cannot be read.
        """
        return int(self._load({"step": np.empty((), np.int32)})["step"]) if self.named is None else self.named

    @functools.cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What it says of itself: ``record``, ``metrics``, ``about``, ``evaluated``, of a delta ``base``, and more.

        Raises:
          InputError: where it cannot be read, or another version of tlj wrote it.
        """
        told = read_metadata(self.folder)
        if told is None:
            raise self._unreadable(f"{MARK} is missing or not as it was written")
        if told.get("format") != FORMAT:
            raise InputError(
                f"{self} was written by another version of tlj "
                f"(format {told.get('format', 1)}, this one reads {FORMAT})",
                where=str(self.run),
                do="read it with that version, or train the run again",
            )
        return told

    def _unreadable(self, why: str) -> InputError:
        if older := [step for step in self.others if self.named is not None and step < self.named]:
            step = max(older)
            do = f"use the next older one: --step={step}, step={step} in Python, model.step in a config"
        elif self.others:
            do = f"use another one: {', '.join(map(str, self.others))}"
        else:
            do = "get the run again"
        return InputError(f"{self} cannot be read: {why}", where=str(self.run), do=do)

    @functools.cached_property
    def _tree(self) -> Mapping[str, Any]:
        """What it holds, as nested shapes by field of the state."""
        told = self.metadata  # first, as one of another version would look damaged
        # Before Orbax sees it, which would fill the screen with what is wrong.
        if told and (damage := find_damage(self.folder)):
            raise self._unreadable(damage)
        with self._reading():
            return dict(ocp.metadata(self.folder).metadata)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Orbax and what it stands on let errors of every kind out of a checkpoint that they cannot read."""
        context = ocp.Context()
        context.pytree.loading.partial_load = True
        try:
            with ORBAX_LOCK, context:
                yield
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            raise self._unreadable(f"{type(error).__name__}: {said}") from error

    @property
    def about(self) -> Mapping[str, Any]:
        """The ``config`` and the ``manifest`` of its run, but for the sample ids.

        Raises:
          InputError: where it does not tell them.
        """
        about = self.metadata.get("about")
        if not isinstance(about, Mapping) or not all(isinstance(about.get(n), Mapping) for n in ("config", "manifest")):
            raise self.untold("the config and the manifest of its run")
        return about

    def untold(self, what: str) -> InputError:
        """Returns the error for something that the checkpoint should say of itself and does not."""
        return InputError(
            f"{self} does not tell {what}",
            where=str(self.run),
            do="train the run again: its metadata was changed, or made by another version of tlj",
        )

    @functools.cached_property
    def shapes(self) -> dict[str, dict[str, Any]]:
        """What it holds, by field of the state and by path: leaves with a shape and a dtype; ``step`` has no path."""
        return {
            name: {
                # A delta holds its masked trees flat, under names with dots.
                jax.tree_util.keystr(path, simple=True, separator="/").replace(".", "/"): leaf
                for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
            }
            for name, tree in self._tree.items()
        }

    def held(self, ema: bool | None = None) -> dict[str, dict[str, np.ndarray]]:
        """Reads ``params`` and ``batch_stats``, by path, as far as the checkpoint holds them: a delta leaves some out.

        Args:
          ema: whether parameters that have a moving average are given as that average; None: as the run was evaluated.

        Raises:
          InputError: where it cannot be read, or holds no averages.
        """
        averaged = self.metadata.get("evaluated") == "ema" if ema is None else ema
        if averaged and not self.shapes.get("ema"):
            raise InputError(
                f"{self} holds no averages of its parameters",
                where=str(self.run),
                do="leave ema out, or train with optimizer.ema",
            )
        read = self._read("params", "batch_stats", *["ema"] * averaged)
        return {"params": {**read["params"], **read.get("ema", {})}, "batch_stats": read["batch_stats"]}

    def variables(self, ema: bool | None = None) -> dict[str, Any]:
        """Reads ``params`` and ``batch_stats``, nested and whole: what a delta leaves out is made again from its base.

        Args:
          ema: as ``held`` takes it.

        Raises:
          InputError: as ``held`` and ``completed``.
        """
        held = self.held(ema)
        whole = {"params": self.completed(held["params"]), "batch_stats": held["batch_stats"]}
        return {name: traverse_util.unflatten_dict(leaves, sep="/") for name, leaves in whole.items()}

    def completed(self, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns all parameters, by path, from those that the checkpoint holds.

        Args:
          params: by path, of ``held``.

        Raises:
          InputError: where it is a delta whose base is gone or another one.
        """
        if not (told := self.metadata.get("base")):
            return dict(params)
        base = Base.from_json(told, str(self.run))
        nested = traverse_util.unflatten_dict(dict(params), sep="/")
        return traverse_util.flatten_dict(complete_params(self.run, base, nested, self.about), sep="/")

    def _read(self, *fields: str) -> dict[str, dict[str, np.ndarray]]:
        wanted = {}
        for name in fields:
            # A masked tree has None where it leaves something out, and an empty tree is not on disk.
            flat = traverse_util.flatten_dict(self._tree.get(name, {}))
            if leaves := {path: np.empty(leaf.shape, leaf.dtype) for path, leaf in flat.items() if leaf is not None}:
                wanted[name] = traverse_util.unflatten_dict(leaves)
        found = self._load(wanted)
        return {
            name: {
                "/".join(path).replace(".", "/"): leaf
                for path, leaf in traverse_util.flatten_dict(found.get(name, {})).items()
            }
            for name in fields
        }

    def _load(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Reads a part of it into NumPy arrays: nothing goes to a device, whichever devices wrote it."""
        if not set(wanted) <= set(self._tree):
            raise self.untold(", ".join(sorted(set(wanted) - set(self._tree))))
        with self._reading():
            return ocp.load(self.folder, dict(wanted))
