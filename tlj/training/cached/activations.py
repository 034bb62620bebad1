"""The computation of activations: what leaves a depth, of examples as they are or of fixed views of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Float

from tlj.data.augment.chain import augment
from tlj.data.images import Augmentation, Preprocessing, normalise
from tlj.data.text import TextPreprocessing
from tlj.models.registry import Spec, build
from tlj.streams import key
from tlj.training.inputs import evaluation_inputs

# The views of an example are the same for all seeds: which one stands for it at a step is a seed's own.
_VIEW_SEED = 0


def make_activation_step(
    spec: Spec,
    dtype: str,
    preprocessing: Preprocessing | TextPreprocessing,
    depth: int,
    augmentation: Augmentation | None = None,
) -> Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Array]], Float[Array, "batch ..."]]:
    """Builds ``activation_step(params, batch_stats, batch)``: what leaves a depth, in float32.

    Args:
      spec: of the model.
      dtype: what the backbone computes in.
      preprocessing: of the model.
      depth: of the boundary.
      augmentation: of views, whose batches tell ``example`` and ``view``; None: of examples as they are.
    """
    module = build(dataclasses.replace(spec, num_classes=0), dtype)
    stop = depth if depth < spec.depth else None

    def activation_step(
        params: Mapping[str, Any], batch_stats: Mapping[str, Any], batch: Mapping[str, Array]
    ) -> Float[Array, "batch ..."]:
        if augmentation is None:
            inputs = evaluation_inputs(batch, preprocessing)
        else:
            inputs = normalise(_views(batch, augmentation, preprocessing.image_size), preprocessing)
        return module.apply({"params": params, "batch_stats": batch_stats}, inputs, train=False, stop=stop)

    return activation_step


def _views(
    batch: Mapping[str, Array], augmentation: Augmentation, image_size: int
) -> Float[Array, "batch image_size image_size 3"]:
    """One view of every image, which follows from the numbers of example and view alone."""
    stream = key(_VIEW_SEED, "augment")

    def view_of(one: Mapping[str, Array]) -> Array:
        own = jax.random.fold_in(jax.random.fold_in(stream, one["view"]), one["example"])
        aspect = one["aspect"][None] if "aspect" in one else None
        return augment(one["image"][None], own, augmentation, image_size, aspect)[0]

    return jax.vmap(view_of)({name: array for name, array in batch.items() if name != "label"})
