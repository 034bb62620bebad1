"""The residual network."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from tlj.errors import InputError
from tlj.models.registry import build
from tlj.models.resnet import ResNet, ResNetSpec
from tlj.streams import key

TINY = ResNetSpec(
    num_classes=3, image_size=8, stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)
)


SHAPE = jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.float32)


@functools.cache
def variables_of(spec: ResNetSpec):
    return jax.jit(build(spec).init)(key(0, "backbone_init"), jnp.zeros((1, *spec.input_shape)))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)


def shapes_of(spec: ResNetSpec):
    return jax.eval_shape(build(spec).init, key(0, "backbone_init"), spec.example(1))


@functools.cache
def random_variables(spec: ResNetSpec):
    """Random everywhere, the norms' statistics too: at the start a block is its shortcut and hides what is in it."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        positive = path[-1].key in ("scale", "var")
        return (rng.uniform(0.5, 1.5, leaf.shape) if positive else rng.normal(0, 0.3, leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes_of(spec))


def outputs_of(spec: ResNetSpec, images: np.ndarray, *, train: bool = False, variables=None) -> dict[str, np.ndarray]:
    """The output of every module by its path; shapes where the images are shapes."""

    def apply(variables, images):
        found = {}

        def record(next_call, args, kwargs, context):
            found["/".join(context.module.path)] = result = next_call(*args, **kwargs)
            return result

        with nn.intercept_methods(record):
            build(spec).apply(variables, images, train=train, mutable=["batch_stats"])
        return found

    if isinstance(images, jax.ShapeDtypeStruct):
        return jax.eval_shape(apply, shapes_of(spec), images)
    return jax.jit(apply)(variables or variables_of(spec), images)


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


RESNET20 = ResNetSpec(
    num_classes=10, image_size=32, stem="cifar", stem_width=16, block="basic", stage_depths=(3, 3, 3),
    stage_widths=(16, 32, 64),
)  # fmt: skip


@pytest.mark.parametrize(
    ("shortcut", "shortcuts"), [("padding", 0), ("projection", 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64)]
)
def test_resnet20_has_its_published_number_of_parameters(shortcut, shortcuts):
    def conv_norm(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + 2 * outputs

    stages = 6 * conv_norm(16, 16) + conv_norm(16, 32) + 5 * conv_norm(32, 32) + conv_norm(32, 64)
    total = conv_norm(3, 16) + stages + 5 * conv_norm(64, 64) + shortcuts + 64 * 10 + 10
    assert total == {"padding": 269_722, "projection": 272_474}[shortcut]
    spec = dataclasses.replace(RESNET20, shortcut=shortcut)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes_of(spec)["params"])) == total


def conv_norm(x: np.ndarray, params, stats, stride: int) -> np.ndarray:
    """A convolution that sees one pixel around a 3x3, and its norm on running statistics."""
    kernel = np.asarray(params["conv"]["kernel"], np.float64)
    size, pad = len(kernel), len(kernel) // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = ((n + 2 * pad - size) // stride + 1 for n in x.shape[1:3])
    y = sum(
        padded[:, i : i + stride * height : stride, j : j + stride * width : stride][:, :height, :width] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )
    params, stats = params["norm"], stats["norm"]
    return (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def block_of_the_paper(x: np.ndarray, spec: ResNetSpec, params, stats, stride: int) -> np.ndarray:
    activations = {"relu": lambda x: np.maximum(x, 0), "gelu": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2)))}
    strides = {"basic": (stride, 1), "first": (stride, 1, 1), "second": (1, stride, 1)}
    last = 1 if spec.block == "basic" else 2
    y = x
    for i, each in enumerate(strides["basic" if spec.block == "basic" else spec.bottleneck_stride]):
        y = conv_norm(y, params[f"conv{i}"], stats[f"conv{i}"], each)
        y = y if i == last else np.maximum(y, 0)
    if "shortcut" in params:
        x = conv_norm(x, params["shortcut"], stats["shortcut"], stride)
    elif stride != 1 or x.shape != y.shape:
        shortcut = np.zeros_like(y)
        aside = (y.shape[-1] - x.shape[-1]) // 2
        shortcut[..., aside : aside + x.shape[-1]] = x[:, ::stride, ::stride]
        x = shortcut
    return activations[spec.activation](x + y)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("shortcut", ["projection", "padding"])
@pytest.mark.parametrize(
    ("block", "bottleneck_stride"), [("basic", "first"), ("bottleneck", "first"), ("bottleneck", "second")]
)
def test_blocks_are_those_of_the_paper_recomputed_with_numpy(images, block, bottleneck_stride, shortcut, activation):
    spec = dataclasses.replace(
        TINY, block=block, bottleneck_stride=bottleneck_stride, shortcut=shortcut, activation=activation
    )
    # Sides of an odd length, too: what a stride leaves out depends on it.
    for side in (8, 7):
        variables = random_variables(dataclasses.replace(spec, image_size=side))
        found = outputs_of(spec, images[:, :side, :side], variables=variables)
        params, stats = (variables[part]["backbone"] for part in ("params", "batch_stats"))
        assert ("shortcut" in params["block1"]) == (shortcut == "projection")
        x = conv_norm(images[:, :side, :side].astype(np.float64), params["embedding"], stats["embedding"], 1)
        x = np.maximum(x, 0) if activation == "relu" else x * 0.5 * (1 + erf(x / np.sqrt(2)))
        for i, stride in enumerate((1, 2)):
            x = block_of_the_paper(x, spec, params[f"block{i}"], stats[f"block{i}"], stride)
            np.testing.assert_allclose(found[f"backbone/block{i}"], x, rtol=1e-3, atol=1e-3)
            assert x.std() > 0.1


@pytest.mark.parametrize(("which", "sides"), [("first", (4, 4, 4)), ("second", (8, 4, 4))])
def test_a_bottleneck_halves_the_resolution_in_the_convolution_it_is_told(which, sides):
    found = outputs_of(dataclasses.replace(TINY, block="bottleneck", bottleneck_stride=which), SHAPE)
    assert tuple(found[f"backbone/block1/conv{i}"].shape[1] for i in range(3)) == sides


def test_the_first_stage_may_have_a_stride():
    spec = dataclasses.replace(TINY, first_stage_stride=2, stage_depths=(2, 1))
    found = outputs_of(spec, SHAPE)
    assert [found[f"backbone/block{i}"].shape[1] for i in range(3)] == [4, 4, 2]
    blocks = shapes_of(spec)["params"]["backbone"]
    # The stem has the width of the first stage: the projection stands there for the stride alone.
    assert "shortcut" in blocks["block0"]
    assert "shortcut" not in blocks["block1"]


def test_a_shortcut_is_projected_where_the_stride_changes_nothing_of_one_pixel():
    spec = dataclasses.replace(TINY, image_size=1, stage_widths=(8, 8))
    assert "shortcut" in shapes_of(spec)["params"]["backbone"]["block1"]


def test_shortcuts_by_padding_have_no_parameters_and_keep_the_middle_channels(images):
    spec = dataclasses.replace(TINY, shortcut="padding", stage_widths=(8, 14))
    found = outputs_of(spec, images)
    assert not any("shortcut" in block for block in variables_of(spec)["params"]["backbone"].values())
    # A new block is its shortcut.
    given, kept = np.asarray(found["backbone/block0"]), np.asarray(found["backbone/block1"])
    np.testing.assert_array_equal(kept[..., 3:11], given[:, ::2, ::2])
    assert not kept[..., :3].any()
    assert not kept[..., 11:].any()


def test_a_model_without_classes_returns_its_features(images):
    spec = dataclasses.replace(TINY, num_classes=0)
    assert set(shapes_of(spec)["params"]) == {"backbone"}
    found = outputs_of(spec, images, variables=random_variables(spec))
    assert found[""].dtype == jnp.float32
    np.testing.assert_array_equal(found[""], found["backbone"])


def test_the_max_pool_adds_no_zeros_along_the_border(images):
    spec = dataclasses.replace(TINY, stem="imagenet", activation="gelu")
    variables = jax.tree.map(np.copy, random_variables(spec))
    variables["params"]["backbone"]["embedding"]["norm"]["scale"][:] = 0
    variables["params"]["backbone"]["embedding"]["norm"]["bias"][:] = -0.5
    seen = []

    def record(next_call, args, kwargs, context):
        if context.module.name == "block0":
            seen.append(args[0])
        return next_call(*args, **kwargs)

    with nn.intercept_methods(record):
        build(spec).apply(variables, images)
    assert np.all(np.asarray(seen[0]) < -0.1)


def test_the_imagenet_stem_and_the_later_stages_halve_the_resolution():
    spec = dataclasses.replace(TINY, stem="imagenet", image_size=32, stage_depths=(1, 2), block="bottleneck")
    found = outputs_of(spec, jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32))
    shapes = {name.removeprefix("backbone/"): value.shape for name, value in found.items()}
    assert shapes["embedding"] == (2, 16, 16, 8)
    assert shapes["block0"] == (2, 8, 8, 32)
    assert shapes["block1"] == shapes["block2"] == (2, 4, 4, 64)
    assert shapes["backbone"] == (2, 64)


def test_the_cifar_stem_keeps_the_resolution():
    found = outputs_of(TINY, SHAPE)
    assert found["backbone/embedding"].shape == found["backbone/block0"].shape == (4, 8, 8, 8)
    assert found["backbone/block1"].shape == (4, 4, 4, 16)


def test_a_shortcut_is_projected_only_where_the_shape_changes():
    blocks = shapes_of(TINY)["params"]["backbone"]
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
        (dict(stem="large"), "unknown stem 'large'.*cifar, imagenet"),
        (dict(block="wide"), "unknown block 'wide'.*basic, bottleneck"),
        (dict(shortcut="pad"), "unknown shortcut 'pad'; did you mean 'padding'"),
        (dict(bottleneck_stride="third"), "unknown bottleneck_stride 'third'.*first, second"),
        (dict(activation="swish"), "unknown activation 'swish'.*gelu, gelu_tanh, relu"),
        (dict(shortcut="padding", stem_width=63), "padding cannot go from 63 to 256 channels"),
        (dict(shortcut="padding", stage_widths=(64, 32, 64, 64)), "padding cannot go from 256 to 128 channels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        ResNetSpec(**sizes)
