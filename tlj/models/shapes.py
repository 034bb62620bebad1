"""A model's initialisation, and the shapes of its variables without computing any."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import traverse_util
from jaxtyping import Array, Key

from tlj.models.registry import Spec, build
from tlj.streams import key


@functools.lru_cache(maxsize=32)
def initialisation(spec: Spec) -> Callable[[Key[Array, ""]], dict[str, Any]]:
    """Returns the initialisation of a model from one key: ``{"params": ..., "batch_stats": ...}``, both there always.

    Tracing a large model takes a good part of a second, and JAX does it once for this function, whoever calls it: for
    the shapes alone, for the backbone, or for the head.
    """
    module = build(spec)

    def initialise_model(model_key: Key[Array, ""]) -> dict[str, Any]:
        variables = module.init(model_key, spec.example(1))
        return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}

    return jax.jit(initialise_model)


@functools.lru_cache(maxsize=32)
def model_shapes(spec: Spec) -> dict[str, Any]:
    """Returns ``{"params": ..., "batch_stats": ...}`` as shapes; the statistics are empty for a family without."""
    return jax.eval_shape(initialisation(spec), key(0, "backbone_init"))


def leaf_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every leaf by its path, ``params/...`` or ``batch_stats/...``."""
    return {path: tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(model_shapes(spec), sep="/").items()}
