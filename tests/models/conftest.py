"""A small model of every family with all that is random in it switched on, its inputs, and variables."""

import functools

import jax
import numpy as np
import pytest

from tlj.models.bert import BERTSpec
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import model_shapes
from tlj.models.vit import ViTSpec


def _spec(family, depth):
    if family == "resnet":
        sizes = dict(image_size=8, stem="cifar", stem_width=8, block="basic", stage_depths=(depth,), stage_widths=(8,))
        return ResNetSpec(num_classes=3, **sizes)
    sizes = dict(num_classes=3, width=16, depth=depth, heads=2, dropout=0.3, attention_dropout=0.3)
    if family == "bert":
        return BERTSpec(vocabulary=50, positions=8, **sizes)
    return ViTSpec(image_size=8, patch_size=4, stochastic_depth=0.5, **sizes)


@pytest.fixture(scope="session")
def random_spec():
    """Returns the spec of a family's model of some depth: ``random_spec("vit", 2)``."""
    return _spec


@pytest.fixture(scope="session")
def random_variables():
    """Returns variables of a spec in which no branch is silent."""

    @functools.cache
    def make(spec):
        rng = np.random.default_rng(0)
        shapes = model_shapes(spec)
        params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes["params"])
        statistics = jax.tree.map(
            lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32), shapes["batch_stats"]
        )
        return {"params": params, "batch_stats": statistics}

    return make


@pytest.fixture(scope="session")
def random_inputs():
    """Returns a batch of a spec: ``random_inputs(spec, 16)``."""

    def make(spec, batch):
        rng, example = np.random.default_rng(1), spec.example(batch)
        if not isinstance(example, dict):
            return rng.normal(size=example.shape).astype(np.float32)
        ids = rng.integers(1, spec.vocabulary, (batch, spec.positions)).astype(np.int32)
        lengths = rng.integers(2, spec.positions + 1, (batch, 1))
        return {"input_ids": ids, "attention_mask": (np.arange(spec.positions) < lengths).astype(np.int32)}

    return make
