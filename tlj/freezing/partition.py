"""Phases label every parameter exactly once; a partition of the tree follows from the labels."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import traverse_util

from tlj.errors import InputError

FROZEN = "frozen"
NORM_MODES = ("frozen", "train")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a strategy may know of a model: its parameter paths and the depth of each.

    Attributes:
      depths: depth by path: 0 for the embedding, 1 to ``blocks`` for the blocks, ``blocks`` + 1 for the head.
      blocks: number of blocks of the backbone.
    """

    depths: Mapping[str, int]
    blocks: int

    @property
    def head(self) -> int:
        """The depth of the head."""
        return self.blocks + 1


@dataclasses.dataclass(frozen=True)
class Group:
    """Parameters that share a schedule.

    Attributes:
      name: what the label table calls it; never ``"frozen"``.
      learning_rate: factor on the configured learning rate.
      norm_mode: ``"train"`` normalises with batch statistics and moves the running ones.
      dropout: whether dropout and stochastic depth are on among its parameters.
    """

    name: str
    learning_rate: float = 1.0
    norm_mode: str = "train"
    dropout: bool = True


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of steps in which the set of trained parameters does not change.

    Attributes:
      labels: (path, group name or ``"frozen"``) for every parameter, sorted by path.
      groups: the groups that the labels name.
      start: the step at which the phase begins.
    """

    labels: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    start: int = 0

    @functools.cached_property
    def label_of(self) -> dict[str, str]:
        """The label of each path."""
        return dict(self.labels)

    @functools.cached_property
    def trained(self) -> tuple[str, ...]:
        """The paths that train, sorted."""
        return tuple(path for path, label in self.labels if label != FROZEN)

    @functools.cached_property
    def digest(self) -> str:
        """A short hash of everything that the phase fixes; a checkpoint of another phase has another."""
        return hashlib.sha256(repr((self.labels, self.groups)).encode()).hexdigest()[:16]

    def group(self, label: str) -> Group:
        """Returns the group that a label names."""
        return next(group for group in self.groups if group.name == label)


def make_phase(labels: Mapping[str, str], groups: Sequence[Group], layout: Layout, start: int = 0) -> Phase:
    """Builds a phase and checks that it labels every parameter of the layout exactly once.

    Args:
      labels: from path to group name or ``"frozen"``.
      groups: the groups; each must have at least one parameter.
      layout: the paths to be covered.
      start: the step at which the phase begins.

    Raises:
      InputError: listing every unlabelled or unknown path, unknown label, empty group and unknown norm mode.
    """
    names = [group.name for group in groups]
    problems = [f"no label for {path}" for path in sorted(set(layout.depths) - set(labels))]
    problems += [f"{path} is no parameter" for path in sorted(set(labels) - set(layout.depths))]
    problems += [f"{path} has the unknown label {label!r}" for path, label in sorted(labels.items())
                 if label not in (*names, FROZEN)]  # fmt: skip
    problems += [f"group {name!r} has no parameters" for name in names if name not in labels.values()]
    problems += [f"group {group.name!r} has the unknown norm mode {group.norm_mode!r}" for group in groups
                 if group.norm_mode not in NORM_MODES]  # fmt: skip
    if FROZEN in names:
        problems.append(f"a group is named {FROZEN!r}, which is the label of what does not train")
    if len(set(names)) != len(names):
        problems.append(f"two groups share a name among {names}")
    if problems:
        raise InputError("; ".join(problems), where="phase", do="label every parameter once, as a group or frozen")
    return Phase(tuple(sorted(labels.items())), tuple(groups), start)


def label_tree(params: Mapping[str, Any], phase: Phase) -> dict[str, Any]:
    """Returns the labels of a phase in the structure of ``params``, as ``optax.multi_transform`` takes them."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return traverse_util.unflatten_dict({path: phase.label_of[path] for path in flat}, sep="/")


def split(params: Mapping[str, Any], phase: Phase) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits parameters into what trains and what is frozen.

    Both keep the whole structure, with None (a node without leaves) where the other has the leaf, so that gradients,
    clipping and the optimizer see trainable leaves and nothing else.

    Example:
      >>> layout = Layout({"backbone/w": 1, "head/w": 2}, blocks=1)
      >>> phase = make_phase({"backbone/w": "frozen", "head/w": "head"}, [Group("head")], layout)
      >>> split({"backbone": {"w": 1.0}, "head": {"w": 2.0}}, phase)
      ({'backbone': {'w': None}, 'head': {'w': 2.0}}, {'backbone': {'w': 1.0}, 'head': {'w': None}})
    """
    flat = traverse_util.flatten_dict(params, sep="/")
    trained = {path: leaf if phase.label_of[path] != FROZEN else None for path, leaf in flat.items()}
    frozen = {path: leaf if phase.label_of[path] == FROZEN else None for path, leaf in flat.items()}
    return traverse_util.unflatten_dict(trained, sep="/"), traverse_util.unflatten_dict(frozen, sep="/")


def merge(trainable: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the two halves of ``split`` back together."""
    return jax.tree.map(lambda t, f: f if t is None else t, trainable, frozen, is_leaf=lambda leaf: leaf is None)
