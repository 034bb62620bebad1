"""What a step would compute besides, if it did not start from activations: the forward pass that made them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.models.registry import Spec
from tlj.models.shapes import model_shapes
from tlj.training.cached.activations import make_activation_step
from tlj.training.read_order import token_shapes
from tlj.training.setup import Setup

# Batches whose mean stands for all where they differ in length.
_BATCHES = 64


def flops_below(setup: Setup, depth: int) -> float:
    """Returns the FLOPs of the forward pass up to a depth on a training batch, on all devices.

    They are counted as the program goes into the compiler; of texts they are the mean over the first batches.

    Args:
      setup: of the run, which starts from inputs.
      depth: of the boundary.
    """
    spec = dataclasses.replace(setup.spec, num_classes=0, head_layers=())
    preprocessing = setup.fit.preprocessing
    size = setup.config["global_batch_size"]
    if isinstance(preprocessing, Preprocessing):
        return _flops(spec, setup.dtype, preprocessing, depth, (size, *spec.input_shape))
    shapes = token_shapes(setup, _BATCHES)
    return float(np.mean([_flops(spec, setup.dtype, preprocessing, depth, shape) for shape in shapes]))


@functools.lru_cache(maxsize=256)
def _flops(
    spec: Spec, dtype: str, preprocessing: Preprocessing | TextPreprocessing, depth: int, shape: tuple[int, ...]
) -> float:
    batch: Mapping[str, Any]
    if isinstance(preprocessing, Preprocessing):
        batch = {"image": jax.ShapeDtypeStruct(shape, np.uint8)}
    else:
        batch = dict.fromkeys(("input_ids", "attention_mask"), jax.ShapeDtypeStruct(shape, np.int32))
    variables = model_shapes(spec)
    step = jax.jit(make_activation_step(spec, dtype, preprocessing, depth))
    lowered = step.lower(variables["params"], variables["batch_stats"], batch)
    return float((lowered.cost_analysis() or {}).get("flops", float("nan")))
