"""The shapes of a model's variables, without computing any."""

from __future__ import annotations

import functools
from typing import Any

import jax
from flax import traverse_util

from tlj.models.registry import Spec, build


@functools.lru_cache(maxsize=32)
def model_shapes(spec: Spec) -> dict[str, Any]:
    """Returns ``{"params": ..., "batch_stats": ...}`` as shapes; the statistics are empty for a family without."""
    module = build(spec)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), spec.example(1)))
    return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}


def leaf_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every leaf by its path, ``params/...`` or ``batch_stats/...``."""
    return {path: tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(model_shapes(spec), sep="/").items()}
