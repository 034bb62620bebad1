"""The residual network."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.models.registry import build
from tlj.models.resnet import ResNet, ResNetSpec
from tlj.streams import key

TINY = ResNetSpec(
    num_classes=3, image_size=8, stem="small", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)
)


@functools.cache
def variables_of(spec: ResNetSpec):
    return jax.jit(build(spec).init)(key(0, "backbone_init"), jnp.zeros((1, *spec.input_shape)))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)


def outputs_of(spec: ResNetSpec, images: np.ndarray, *, train: bool = False) -> dict[str, np.ndarray]:
    """The output of every module by its path."""

    def apply(variables, images):
        found = {}

        def record(next_call, args, kwargs, context):
            found["/".join(context.module.path)] = result = next_call(*args, **kwargs)
            return result

        with nn.intercept_methods(record):
            build(spec).apply(variables, images, train=train, mutable=["batch_stats"])
        return found

    return jax.jit(apply)(variables_of(spec), images)


def trained(spec: ResNetSpec, images: np.ndarray, *, train: bool = True):
    """Logits and statistics after one batch."""
    apply = functools.partial(build(spec).apply, train=train, mutable=["batch_stats"])
    return jax.jit(apply)(variables_of(spec), images)


def test_the_default_is_resnet50_with_its_published_number_of_parameters():
    spec = ResNetSpec()
    shapes = jax.eval_shape(ResNet(spec).init, key(0, "backbone_init"), jnp.zeros((1, *spec.input_shape)))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == 23_508_032
    # 53 norms, with a running mean and a running variance each.
    assert len(jax.tree.leaves(shapes["batch_stats"])) == 2 * 53
    assert spec.depth == 16


def test_the_imagenet_stem_and_the_later_stages_halve_the_resolution():
    spec = dataclasses.replace(TINY, stem="imagenet", image_size=32, stage_depths=(1, 2), block="bottleneck")
    images = np.zeros((2, 32, 32, 3), np.float32)
    found = outputs_of(spec, images)
    shapes = {name.removeprefix("backbone/"): value.shape for name, value in found.items()}
    assert shapes["embedding"] == (2, 16, 16, 8)
    assert shapes["block0"] == (2, 8, 8, 32)
    assert shapes["block1"] == shapes["block2"] == (2, 4, 4, 64)
    assert shapes["backbone"] == (2, 64)


def test_the_small_stem_keeps_the_resolution(images):
    found = outputs_of(TINY, images)
    assert found["backbone/embedding"].shape == found["backbone/block0"].shape == (4, 8, 8, 8)
    assert found["backbone/block1"].shape == (4, 4, 4, 16)


def test_a_shortcut_is_projected_only_where_the_shape_changes():
    blocks = variables_of(TINY)["params"]["backbone"]
    assert "shortcut" not in blocks["block0"]
    assert "shortcut" in blocks["block1"]


def test_a_block_starts_as_its_shortcut(images):
    found = outputs_of(TINY, images)
    stem = nn.relu(found["backbone/embedding"])
    np.testing.assert_allclose(found["backbone/block0"], stem, atol=1e-6)
    np.testing.assert_allclose(found["backbone/block1"], nn.relu(found["backbone/block1/shortcut"]), atol=1e-6)


def test_features_are_the_mean_over_positions(images):
    found = outputs_of(TINY, images)
    np.testing.assert_allclose(found["backbone"], found["backbone/block1"].mean((1, 2)), rtol=1e-6)


def test_running_statistics_move_by_the_momentum_in_training(images):
    spec = dataclasses.replace(TINY, momentum=0.75)
    before = variables_of(spec)["batch_stats"]["backbone"]["embedding"]["norm"]
    _, updated = trained(spec, images)
    after = updated["batch_stats"]["backbone"]["embedding"]["norm"]
    seen = np.asarray(outputs_of(spec, images, train=True)["backbone/embedding/conv"])
    np.testing.assert_allclose(after["mean"], 0.75 * before["mean"] + 0.25 * seen.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["var"], 0.75 * before["var"] + 0.25 * seen.var((0, 1, 2)), rtol=1e-4)


def test_training_normalises_by_the_batch_and_evaluation_does_not(images):
    def logits(batch: np.ndarray, train: bool) -> np.ndarray:
        return np.asarray(trained(TINY, batch, train=train)[0])

    np.testing.assert_allclose(logits(images, False)[:2], logits(images[:2], False), rtol=1e-5, atol=1e-6)
    assert np.abs(logits(images, True)[:2] - logits(images[:2], True)).max() > 1e-4


def test_bfloat16_is_for_computing_and_variables_stay_float32(images):
    model = build(TINY, "bfloat16")
    variables = variables_of(TINY)
    own = jax.eval_shape(model.init, key(0, "backbone_init"), images)
    apply = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    logits, updated = jax.eval_shape(apply, variables, images)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves((own, updated))} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (dict(stage_depths=(1, 1)), "2 stage_depths but 4 stage_widths"),
        (dict(stem="large"), "unknown stem 'large'.*imagenet or small"),
        (dict(block="wide"), "unknown block 'wide'.*basic or bottleneck"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        ResNetSpec(**sizes)
