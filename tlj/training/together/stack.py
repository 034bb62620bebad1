"""The states of several runs as one: leaves along an axis of runs, and once what is the same for all of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import NamedSharding, PartitionSpec

from tlj.freezing.digests import is_frozen
from tlj.freezing.phases import Phase
from tlj.pretrained.initialise import is_read_once
from tlj.training.state import TrainState

Leaves = list[jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Joining:
    """A run whose state is to be stacked.

    Attributes:
      state: whose frozen leaves may be those of another run.
      digests: of every parameter and statistic when its phase started.
      rng: of ``run_keys``.
      order: what decides its batches (``order_key``).
      given: whether its arrays are given away.
    """

    state: TrainState
    digests: Mapping[str, str]
    rng: Mapping[str, jax.Array]
    order: Hashable
    given: bool


@dataclasses.dataclass(eq=False)
class Stack:
    """States of runs of one phase, at one step.

    Attributes:
      structure: of a state.
      common: leaves that are the same for all runs, which frozen ones of one source are, by their place among all.
      own: the other leaves, in order, each with the runs along its first axis.
      step: that all are at, on the devices.
      rng: keys, along an axis of runs unless ``one_seed``.
      one_seed: whether all runs draw the same numbers.
      one_order: whether all runs read the same batches; runs that leave change nothing in it, or in the program.
      shardings: of a single run's own leaves.
      places: runs that there is room for; what has no run is a copy of another.
    """

    structure: Any
    common: dict[int, jax.Array]
    own: Leaves
    step: jax.Array
    rng: Mapping[str, jax.Array]
    one_seed: bool
    one_order: bool
    shardings: tuple[NamedSharding, ...]
    places: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What a program that takes it depends on."""
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in self.own)
        return (self.structure, tuple(self.common), shapes, self.one_seed, self.places)

    def whole(self, own: Sequence[Any], common: Mapping[int, Any]) -> TrainState:
        """Returns a state from its own leaves and the common ones."""
        rest = iter(own)
        return self.structure.unflatten(
            [common[i] if i in common else next(rest) for i in range(self.structure.num_leaves)]
        )

    def own_of(self, state: TrainState) -> Leaves:
        """Returns the own leaves of a state."""
        return [leaf for i, leaf in enumerate(jax.tree.leaves(state)) if i not in self.common]

    def state_of(self, place: int) -> TrainState:
        """Returns the state of one run, with the arrays that are common."""
        return self.whole(_picking(self.shardings)(self.own, np.int32(place)), self.common)


class Commons:
    """Frozen leaves that runs have in common: of each value there is one array, which no program is given."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str, Any], jax.Array] = {}
        self._digests: dict[int, str] = {}
        self._made_of: dict[int, tuple[Any, jax.Array]] = {}

    def of(self, path: str, digest: str, leaf: jax.Array) -> jax.Array:
        """Returns the array of a value.

        Args:
          path: of the leaf.
          digest: of the value; one that is rounded has that of its original.
          leaf: that has it, and is taken where there is none yet.
        """
        array = self._arrays.setdefault((path, digest, leaf.dtype), leaf)
        self._digests[id(array)] = digest
        return array

    def digest_of(self, leaf: Any) -> str | None:
        """Returns the digest of an array that is one of these; None for another."""
        return self._digests.get(id(leaf))

    def taken_up(self, state: TrainState, start: Mapping[str, Any], phase: Phase) -> TrainState:
        """Returns a state whose frozen parameters are those of an earlier run that began with the very same arrays.

        Args:
          state: at step 0, whose arrays are its own.
          start: parameters that it was made from, nested; runs of one source have those that were read once.
          phase: that it begins in.
        """
        params, began = (traverse_util.flatten_dict(tree, sep="/") for tree in (state.params, start))
        for path in params:
            if is_frozen(phase, path) and id(began.get(path)) in self._made_of:
                made = self._made_of[id(began[path])][1]
                params[path] = made if made.dtype == params[path].dtype else params[path]
        return state.replace(params=traverse_util.unflatten_dict(params, sep="/"))

    def remember(self, state: TrainState, start: Mapping[str, Any], phase: Phase, digests: Mapping[str, str]) -> None:
        """Keeps the frozen parameters that runs to come may begin with, too.

        Args:
          state: of ``taken_up``.
          start: parameters that it was made from, nested.
          phase: that it begins in.
          digests: of all its parameters.
        """
        params, began = (traverse_util.flatten_dict(tree, sep="/") for tree in (state.params, start))
        for path, leaf in params.items():
            if path in began and is_frozen(phase, path) and is_read_once(began[path]):
                # What it began with stays as long as this does, or another array could have its identity.
                self._made_of[id(began[path])] = began[path], self.of(path, digests[path], leaf)

    def __contains__(self, leaf: jax.Array) -> bool:
        return id(leaf) in self._digests


def places_for(runs: int, most: int) -> int:
    """Returns how many runs a program is compiled for: the most, or a half, a quarter and so on that has room.

    So there are few programs, and at most half of what they compute is for nobody.

    Args:
      runs: that there are.
      most: of ``experiments.batch_runs``.
    """
    while -(-most // 2) >= runs and most > 1:
        most = -(-most // 2)
    return most


def stacked(joining: Sequence[Joining], phase: Phase, step: int, commons: Commons, most: int) -> Stack:
    """Stacks the states of runs; the arrays of those that are given away are no more.

    Args:
      joining: the runs, at most ``most``.
      phase: that they are in.
      step: that they are at.
      commons: of all runs that are trained together.
      most: of ``experiments.batch_runs``.
    """
    paths, structure = _paths(joining[0].state)
    rows = [jax.tree.leaves(run.state) for run in joining]
    common = {}
    for i, path in enumerate(paths):
        if path is None or not is_frozen(phase, path):
            continue
        digests = [run.digests[path] for run in joining]
        if len(set(digests)) == 1:
            common[i] = commons.of(path, digests[0], rows[0][i])
    own = [[leaf for i, leaf in enumerate(row) if i not in common] for row in rows]
    places = places_for(len(joining), most)
    filled = [*own, *[own[0]] * (places - len(own))]
    shardings = tuple(leaf.sharding for leaf in own[0])
    one_seed = len({_words(run.rng) for run in joining}) == 1
    rng = dict(joining[0].rng)
    if not one_seed:
        rng = _stack_keys([dict(run.rng) for run in joining] + [rng] * (places - len(own)))
    stack = Stack(
        structure=structure,
        common=common,
        own=_stacking(shardings)(filled),
        step=jax.device_put(np.int32(step), NamedSharding(shardings[0].mesh, PartitionSpec())),
        rng=rng,
        one_seed=one_seed,
        one_order=len({run.order for run in joining}) == 1,
        shardings=shardings,
        places=places,
    )
    for run, row in zip(joining, rows, strict=True):
        for leaf in row if run.given else ():
            if leaf not in commons:
                leaf.delete()
    return stack


def with_runs(sharding: NamedSharding, *before: None) -> NamedSharding:
    """Returns the sharding of arrays of several runs, each of which lies as one did.

    Args:
      sharding: of the array of one run.
      *before: axes that come first.
    """
    return NamedSharding(sharding.mesh, PartitionSpec(*before, None, *sharding.spec))


def _paths(state: TrainState) -> tuple[list[str | None], Any]:
    """The path of each leaf that is a parameter or a statistic, as digests are named; None for the others."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    return [
        "/".join(entry.key for entry in path[1:]) if path[0].name in ("params", "batch_stats") else None
        for path, _ in leaves
    ], structure


def _words(rng: Mapping[str, jax.Array]) -> tuple[bytes, ...]:
    return tuple(np.asarray(jax.random.key_data(rng[name])).tobytes() for name in sorted(rng))


def _stack_keys(rngs: Sequence[Mapping[str, jax.Array]]) -> dict[str, jax.Array]:
    """Keys along an axis of runs, put together on the host, so that nothing is compiled for it."""
    return {
        name: jax.random.wrap_key_data(
            np.stack([np.asarray(jax.random.key_data(rng[name])) for rng in rngs]), impl=jax.random.key_impl(key)
        )
        for name, key in rngs[0].items()
    }


@functools.lru_cache(maxsize=64)
def _stacking(shardings: tuple[NamedSharding, ...]) -> Any:
    def stack_runs(rows: Sequence[Leaves]) -> Leaves:
        return [jnp.stack(leaves) for leaves in zip(*rows, strict=True)]

    return jax.jit(stack_runs, out_shardings=[with_runs(sharding) for sharding in shardings])


@functools.lru_cache(maxsize=64)
def _picking(shardings: tuple[NamedSharding, ...]) -> Any:
    def pick_run(own: Leaves, place: jax.Array) -> Leaves:
        return [leaf[place] for leaf in own]

    return jax.jit(pick_run, out_shardings=list(shardings))
