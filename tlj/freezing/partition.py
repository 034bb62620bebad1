"""The partition of a tree that follows from a phase's labels: what trains, and what is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from flax import traverse_util

from tlj.freezing.phases import FROZEN, Phase


def label_tree(params: Mapping[str, Any], phase: Phase) -> dict[str, Any]:
    """Returns the labels of a phase in the structure of ``params``, as ``optax.multi_transform`` takes them."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return traverse_util.unflatten_dict({path: phase.label_of[path] for path in flat}, sep="/")


def split(params: Mapping[str, Any], phase: Phase) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits parameters into what trains and what is frozen.

    Both keep the whole structure, with None (a node without leaves) where the other has the leaf, so that gradients,
    clipping and the optimizer see trainable leaves and nothing else.

    Example:
      >>> from tlj.freezing.phases import Group, Layout, make_phase
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
