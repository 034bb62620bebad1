"""The Vision Transformer."""

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
from tlj.models.vit import ViT, ViTSpec
from tlj.streams import key

TINY = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2)


@functools.cache
def variables_of(spec: ViTSpec):
    return jax.jit(build(spec).init)(key(0, "backbone_init"), jnp.zeros((1, *spec.input_shape)))


def logits_of(spec: ViTSpec, images: np.ndarray, dtype: str = "float32") -> np.ndarray:
    return jax.jit(build(spec, dtype).apply)(variables_of(spec), images)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)


def parameters_of(spec: ViTSpec) -> int:
    shapes = jax.eval_shape(ViT(spec).init, key(0, "backbone_init"), jnp.zeros((1, *spec.input_shape)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def test_the_default_is_vit_b16_with_its_published_number_of_parameters():
    assert parameters_of(ViTSpec()) == 85_798_656


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [
        (dict(pool="mean"), 0),
        # The token and its position.
        (dict(pool="mean", class_token=False), 2 * 768),
        (dict(pool="pooler"), -(768 * 768 + 768)),
        (dict(qkv_bias=False), 12 * 3 * 768),
    ],
)
def test_a_setting_takes_its_parameters_away_and_no_others(settings, fewer):
    assert parameters_of(ViTSpec()) - parameters_of(ViTSpec(**settings)) == fewer


def test_mlp_is_four_times_as_wide_as_the_tokens_unless_told():
    assert parameters_of(TINY) == parameters_of(dataclasses.replace(TINY, mlp_width=64))
    assert parameters_of(TINY) > parameters_of(dataclasses.replace(TINY, mlp_width=63))


VARIANTS = [
    dict(pool="first"),
    dict(pool="mean"),
    dict(pool="mean", class_token=False),
    dict(pool="pooler"),
    dict(qkv_bias=False),
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_logits_are_float32_and_depend_on_every_patch(images, settings):
    spec = dataclasses.replace(TINY, **settings)
    batches = [images]
    for row, column in ((0, 0), (0, 4), (4, 0), (4, 4)):
        changed = images.copy()
        changed[:, row : row + 4, column : column + 4] += 1.0
        batches.append(changed)
    logits = logits_of(spec, np.concatenate(batches))
    assert logits.shape == (20, 3)
    assert logits.dtype == jnp.float32
    logits = np.asarray(logits).reshape(5, 4, 3)
    assert np.all(np.abs(logits[1:] - logits[0]).max(-1) > 1e-5)


def test_patches_are_cut_row_by_row_and_projected(images):
    params = variables_of(TINY)["params"]["backbone"]["embedding"]
    tokens, variables = [], variables_of(TINY)

    def record(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if context.module.name == "embedding":
            tokens.append(result)
        return result

    with nn.intercept_methods(record):
        build(TINY).backbone.apply({"params": variables["params"]["backbone"]}, images)
    cut = images.reshape(4, 2, 4, 2, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(4, 4, 48)
    projected = cut @ np.asarray(params["patch"]["kernel"]).reshape(48, 16) + params["patch"]["bias"]
    token = np.broadcast_to(params["class_token"], (4, 1, 16))
    expected = np.concatenate([token, projected], axis=1) + params["position"]
    np.testing.assert_allclose(tokens[0], expected, rtol=1e-4, atol=1e-5)


def random_variables(spec: ViTSpec):
    """Random everywhere: a bias or a norm in the wrong place must show."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0.2, 0.3, size=leaf.shape).astype(np.float32), variables_of(spec))


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_pooling_takes_what_it_says_from_the_normalised_tokens(images, settings):
    spec = dataclasses.replace(TINY, **settings)
    variables, seen = random_variables(spec), {}

    def record(next_call, args, kwargs, context):
        seen["/".join(context.module.path)] = result = next_call(*args, **kwargs)
        return result

    with nn.intercept_methods(record):
        features = build(dataclasses.replace(spec, num_classes=0)).apply(variables, images)
    tokens = np.asarray(seen["backbone/norm"], np.float64)
    assert tokens.shape == (4, 4 + spec.class_token, 16)
    expected = tokens[:, -4:].mean(axis=1) if spec.pool == "mean" else tokens[:, 0]
    if spec.pool == "pooler":
        pooler = variables["params"]["backbone"]["pooler"]
        expected = np.tanh(expected @ pooler["kernel"] + pooler["bias"])
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-2
    assert features.dtype == jnp.float32


def test_bfloat16_is_for_computing_and_parameters_stay_float32(images):
    model = build(TINY, "bfloat16")
    variables = jax.jit(model.init)(key(0, "backbone_init"), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    jax.tree.map(np.testing.assert_array_equal, variables, variables_of(TINY))
    logits, exact = logits_of(TINY, images, "bfloat16"), logits_of(TINY, images)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, exact, atol=0.02)
    assert not np.array_equal(logits, exact)


def test_evaluation_needs_no_random_numbers_and_ignores_dropout(images):
    spec = dataclasses.replace(TINY, dropout=0.5, attention_dropout=0.5, stochastic_depth=0.5)
    np.testing.assert_array_equal(logits_of(spec, images), logits_of(TINY, images))


def test_training_with_dropout_changes_with_its_key(images):
    model = build(dataclasses.replace(TINY, dropout=0.5))
    first, again, other = (
        model.apply(variables_of(TINY), images, train=True, rngs={"dropout": key(seed, "dropout")})
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def dropouts_of(spec: ViTSpec, images, train: bool) -> dict[str, float]:
    """Share of the values that each active dropout sets to zero, by its module path."""
    found = {}

    def record(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if isinstance(context.module, nn.Dropout) and context.module.rate and not kwargs["deterministic"]:
            found["/".join(context.module.path[1:])] = float(np.mean((result == 0) & (args[0] != 0)))
        return result

    with nn.intercept_methods(record):
        build(spec).apply(random_variables(spec), images, train=train, rngs={"dropout": key(0, "dropout")})
    return found


@pytest.mark.parametrize("mlp_dropout", [True, False])
def test_dropout_stands_after_the_embedding_on_every_branch_and_weight_and_in_the_mlp_unless_told(images, mlp_dropout):
    spec = dataclasses.replace(TINY, dropout=0.2, attention_dropout=0.4, mlp_dropout=mlp_dropout)
    many = np.tile(images, (8, 1, 1, 1))
    rates = {"embedding/Dropout_0": 0.2}
    for i in range(2):
        rates |= {f"block{i}/attention/Dropout_0": 0.4, f"block{i}/Dropout_0": 0.2, f"block{i}/Dropout_2": 0.2}
        rates |= {f"block{i}/mlp/Dropout_0": 0.2} if mlp_dropout else {}
    found = dropouts_of(spec, many, train=True)
    assert found == {path: pytest.approx(rate, abs=0.05) for path, rate in rates.items()}
    assert dropouts_of(spec, many, train=False) == {}


def test_without_attention_dropout_no_weight_is_dropped(images):
    assert not any("attention" in path for path in dropouts_of(dataclasses.replace(TINY, dropout=0.2), images, True))


def test_stochastic_depth_grows_linearly_and_skips_a_sample_whole(images):
    spec = dataclasses.replace(TINY, depth=3, stochastic_depth=0.4)
    variables, many = variables_of(spec), np.repeat(images, 16, axis=0)
    rates, skipped = [], []

    def record(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if isinstance(context.module, nn.Dropout) and context.module.broadcast_dims:
            rates.append(context.module.rate)
            zero = np.asarray(result == 0)
            if context.module.rate:
                skipped.append(zero)
        return result

    with nn.intercept_methods(record):
        build(spec).apply(variables, many, train=True, rngs={"dropout": key(0, "dropout")})
    # Two residual branches in each block.
    np.testing.assert_allclose(rates, [0, 0, 0.2, 0.2, 0.4, 0.4])
    for zero in skipped:
        whole = zero.all(axis=(1, 2))
        np.testing.assert_array_equal(zero.any(axis=(1, 2)), whole)
        assert 0 < whole.sum() < len(whole)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (dict(patch_size=3), "patch_size 3 does not divide image_size 224"),
        (dict(heads=7), "heads 7 does not divide width 768"),
        (dict(pool="max"), "unknown pool 'max'.*use one of first, mean, pooler"),
        (dict(class_token=False), "pool 'first' takes the class token, but class_token is False; did you mean 'mean'"),
        (dict(class_token=False, pool="pooler"), "pool 'pooler' takes the class token"),
        (dict(activation="swish"), "unknown activation 'swish'.*gelu, gelu_tanh, relu"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        ViTSpec(**sizes)
