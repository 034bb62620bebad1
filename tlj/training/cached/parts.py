"""Variables and states at a depth: without what stands at and below it, and with it again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from tlj.models.lora import ROOT
from tlj.models.registry import Spec, family_of
from tlj.training.state import TrainState

Flat = dict[str, Any]


def is_below(path: str, spec: Spec, depth: int) -> bool:
    """Whether a parameter or statistic is one of those that make the activations that leave a depth.

    Args:
      path: without ``params/`` or ``batch_stats/``.
      spec: of the model.
      depth: of the boundary.
    """
    return family_of(spec).depth_of(path.removeprefix(f"{ROOT}/"), spec.depth) <= depth


def above(variables: Mapping[str, Any], spec: Spec, depth: int | None) -> dict[str, Any]:
    """Returns variables without those at and below a depth.

    Args:
      variables: ``params`` and ``batch_stats``, arrays or shapes.
      spec: of the model.
      depth: of the boundary; None leaves all.
    """
    if depth is None:
        return dict(variables)
    return {
        kind: _nested({p: leaf for p, leaf in _flat(variables[kind]).items() if not is_below(p, spec, depth)})
        for kind in ("params", "batch_stats")
    }


def below(variables: Mapping[str, Any], spec: Spec, depth: int) -> dict[str, Flat]:
    """Returns the other variables, by path: ``{"params": {...}, "batch_stats": {...}}``."""
    return {
        kind: {p: leaf for p, leaf in _flat(variables[kind]).items() if is_below(p, spec, depth)}
        for kind in ("params", "batch_stats")
    }


def at_depth(
    state: TrainState,
    shapes: TrainState,
    held: Mapping[str, Mapping[str, np.ndarray]],
    left_out: Collection[str] = (),
) -> TrainState:
    """Returns a state as it is at another depth, with the same moments, averages and numbers.

    Args:
      state: at any depth.
      shapes: of the state that is wanted, with shardings.
      held: the variables that the state may lack, as ``below`` returns them, on the host.
      left_out: parameters that may be missing in the result.
    """

    def filled(tree: Mapping[str, Any], wanted: Mapping[str, Any], held: Mapping[str, np.ndarray]) -> dict[str, Any]:
        flat = _flat(tree)
        return _nested(
            {
                path: flat[path] if path in flat else jax.device_put(held[path], leaf.sharding)
                for path, leaf in _flat(wanted).items()
                if path in flat or path not in left_out
            }
        )

    def alike(tree: Any, wanted: Any) -> Any:
        # They differ in frozen parameters alone, of which there are no leaves.
        return jax.tree.unflatten(jax.tree.structure(wanted), jax.tree.leaves(tree))

    return state.replace(
        params=filled(state.params, shapes.params, held["params"]),
        batch_stats=filled(state.batch_stats, shapes.batch_stats, held["batch_stats"]),
        opt_state=alike(state.opt_state, shapes.opt_state),
        origin=alike(state.origin, shapes.origin),
        ema=alike(state.ema, shapes.ema),
    )


def _flat(tree: Mapping[str, Any]) -> Flat:
    return traverse_util.flatten_dict(dict(tree), sep="/")


def _nested(flat: Flat) -> dict[str, Any]:
    return traverse_util.unflatten_dict(flat, sep="/")
