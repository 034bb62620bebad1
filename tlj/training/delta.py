"""Delta checkpoints: those of a run without the parameters that it never trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import traverse_util

from tlj.models.lora import ROOT
from tlj.pretrained.base import Base, base_digest
from tlj.pretrained.load_report import array_hash
from tlj.training.initial import start_variables
from tlj.training.setup import Setup

# Orbax writes some 300 bytes for each leaf that is None, and these hold one for every frozen parameter.
_MASKED = ("opt_state", "origin", "ema")


def _leaves_by_path(tree: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Delta:
    """What the checkpoints of a run leave out, and how it is made again.

    Attributes:
      left_out: paths of the parameters that no phase trains.
      base: what a checkpoint says of them, but for their digest.
      start: returns the parameters that the run starts from, nested.
    """

    left_out: frozenset[str]
    base: Base
    start: Callable[[], Mapping[str, Any]]

    def kept(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what a checkpoint holds of a state.

        Args:
          fields: of the state by name, arrays or shapes.
        """
        params = traverse_util.flatten_dict(fields["params"], sep="/")
        held = {path: leaf for path, leaf in params.items() if path not in self.left_out}
        flat = {name: _leaves_by_path(fields[name]) for name in _MASKED}
        return {**fields, **flat, "params": traverse_util.unflatten_dict(held, sep="/")}

    def whole(self, kept: Mapping[str, Any], left_out: Mapping[str, Any], shapes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields of a state by name: the inverse of ``kept``.

        Args:
          kept: as a checkpoint holds them.
          left_out: parameters by path, as ``made`` returns them.
          shapes: of the fields.
        """
        params = traverse_util.flatten_dict(kept["params"], sep="/") | dict(left_out)
        full = {
            name: jax.tree.unflatten(
                jax.tree.structure(shapes[name]), [kept[name][path] for path in _leaves_by_path(shapes[name])]
            )
            for name in _MASKED
        }
        return {**kept, **full, "params": traverse_util.unflatten_dict(params, sep="/")}

    def base_of(self, start_digests: Mapping[str, str]) -> Base:
        """Returns the base with its digest, from the digests of a phase's start; those of the base never change."""
        return dataclasses.replace(self.base, digest=base_digest({path: start_digests[path] for path in self.left_out}))

    def made(self, base: Base, shapes: Mapping[str, Any], where: str) -> dict[str, jax.Array]:
        """Makes again what a checkpoint left out.

        Args:
          base: as the checkpoint tells it.
          shapes: of all parameters, nested, with their shardings.
          where: of the checkpoint, for the error.

        Returns:
          The parameters that were left out, by path, on their devices.

        Raises:
          InputError: where they are not those that the run was trained on.
        """
        start = traverse_util.flatten_dict(self.start(), sep="/")
        found = base_digest({path: array_hash(jax.device_get(start[path])) for path in self.left_out})
        if found != base.digest:
            raise base.refusal(f"{self.base} gives {found}", where)
        wanted = traverse_util.flatten_dict(shapes, sep="/")
        return {path: jax.device_put(start[path], wanted[path].sharding) for path in self.left_out}


def delta_of(setup: Setup) -> Delta | None:
    """Returns what the checkpoints of a run leave out; None where they hold everything."""
    if setup.config["checkpoint"]["keep"] != "trainable":
        return None
    trained = {path for phase in setup.phases for path in phase.trained}
    # Adapters are the run's own: no base has them.
    left_out = {path for path, _ in setup.phases[0].labels if path not in trained and not path.startswith(f"{ROOT}/")}
    if not left_out:
        return None
    source = "" if setup.init == "scratch" else setup.config["model"]["source"]
    identity = setup.pretrained.identity if source and setup.pretrained else ""
    base = Base(setup.init, setup.config["seed"], setup.copied, source, identity)
    return Delta(frozenset(left_out), base, lambda: start_variables(setup)[0]["params"])
