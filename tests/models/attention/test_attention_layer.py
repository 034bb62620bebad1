"""Self-attention as a layer: what it computes, how it starts, and what it drops."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.models.attention.self_attention import SelfAttention
from tlj.models.layers import FusedDense
from tlj.streams import key

A_KEY = key(0, "backbone_init")


def softmax(x: np.ndarray) -> np.ndarray:
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_attention_is_scaled_dot_product_attention_head_by_head():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 8)).astype(np.float32)
    attention = SelfAttention(heads=2)
    shapes = attention.init(A_KEY, x)["params"]
    # Random everywhere: the biases, too, must reach the right places.
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    kernel, bias = params["query_key_value"]["kernel"], params["query_key_value"]["bias"]
    query, key_, value = (x @ kernel[:, i] + bias[i] for i in range(3))
    mixed = np.concatenate(
        [
            softmax(query[..., head] @ key_[..., head].transpose(0, 2, 1) / np.sqrt(4)) @ value[..., head]
            for head in (slice(0, 4), slice(4, 8))
        ],
        axis=-1,
    )
    expected = mixed @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(attention.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-4)


def test_query_key_and_value_start_as_three_glorot_matrices_and_not_as_one_wide_one():
    width = 64
    params = SelfAttention(heads=4).init(A_KEY, jnp.zeros((1, 2, width)))["params"]
    kernel = np.asarray(params["query_key_value"]["kernel"])
    limit = np.sqrt(6 / (2 * width))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    assert not np.any(params["query_key_value"]["bias"])


def attention_of(x: np.ndarray, **settings):
    """A SelfAttention of two heads and random parameters, biases included."""
    attention = SelfAttention(heads=2, **settings)
    shapes = attention.init(A_KEY, x)["params"]
    rng = np.random.default_rng(1)
    return attention, {"params": jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)}


def test_a_masked_token_is_looked_at_by_nobody():
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    attention, variables = attention_of(x)
    mask = np.array([[True, True, True, False, False], [True] * 5])
    masked = attention.apply(variables, x, mask)
    cut = attention.apply(variables, x[:1, :3])
    np.testing.assert_allclose(masked[0, :3], cut[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(masked[1], attention.apply(variables, x)[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("train", [False, True])
def test_a_mask_of_pairs_of_tokens_keeps_stretches_of_a_row_apart(train):
    # With a rate that drops next to nothing, training takes the attention that is written out.
    attention = SelfAttention(heads=2, dropout=1e-9)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    variables = attention.init(A_KEY, x)
    segments = np.array([[1, 1, 2, 2, 2], [1, 2, 2, 3, 3]])
    mask = segments[:, :, None] == segments[:, None, :]
    mixed = attention.apply(variables, x, mask, train=train, rngs={"dropout": A_KEY})
    for row, begin, end in ((0, 0, 2), (0, 2, 5), (1, 0, 1), (1, 1, 3), (1, 3, 5)):
        alone = attention.apply(variables, x[[row], begin:end])
        np.testing.assert_allclose(mixed[row, begin:end], alone[0], rtol=1e-5, atol=1e-5)


def test_attention_without_real_tokens_is_finite():
    x = np.random.default_rng(0).normal(size=(1, 3, 8)).astype(np.float32)
    attention, variables = attention_of(x, dropout=0.5)
    for train in (False, True):
        mixed = attention.apply(variables, x, np.zeros((1, 3), bool), train=train, rngs={"dropout": A_KEY})
        assert np.isfinite(mixed).all()


def test_attention_weights_are_dropped_in_training_alone():
    x = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    attention, variables = attention_of(x, dropout=0.5)
    first, again, other = (
        attention.apply(variables, x, train=True, rngs={"dropout": key(seed, "dropout")}) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    plain, _ = attention_of(x)
    np.testing.assert_array_equal(attention.apply(variables, x, train=False), plain.apply(variables, x, train=True))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_attention_with_its_dropout_switched_off_is_plain_attention(dtype):
    x = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    attention, variables = attention_of(x, dropout=0.5, dtype=dtype)
    mask = np.arange(6) < np.array([[6], [4]])
    switched = []

    def switch_off(next_call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout):
            switched.append(kwargs["deterministic"])
            kwargs = {**kwargs, "deterministic": True}
        return next_call(*args, **kwargs)

    with nn.intercept_methods(switch_off):
        written_out = attention.apply(variables, x, mask, train=True)
    assert switched == [False]
    plain = attention.apply(variables, x, mask, train=False)
    assert written_out.dtype == plain.dtype == dtype
    tolerance = 1e-5 if dtype == jnp.float32 else 0.05
    np.testing.assert_allclose(
        written_out.astype(jnp.float32), plain.astype(jnp.float32), rtol=tolerance, atol=tolerance
    )


def test_dropout_of_attention_keeps_the_mean():
    # One head, values of one, no projection: the output is the sum of the kept weights over their share.
    x = np.zeros((1, 64, 2), np.float32)
    attention = SelfAttention(heads=1, dropout=0.25)
    params = jax.tree.map(jnp.zeros_like, attention.init(A_KEY, x)["params"])
    params["query_key_value"]["bias"] = params["query_key_value"]["bias"].at[2].set(1.0)
    params["out"]["kernel"] = jnp.eye(2)
    mixed = attention.apply({"params": params}, x, train=True, rngs={"dropout": A_KEY})
    kept = np.asarray(mixed[0, :, 0]) * 64 * 0.75
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-3)
    assert len(set(np.round(kept))) > 5
    assert kept.mean() == pytest.approx(0.75 * 64, abs=1)


def test_attention_without_biases_of_its_projections_has_one_bias():
    params = SelfAttention(heads=2, qkv_bias=False).init(A_KEY, jnp.zeros((1, 2, 8)))["params"]
    assert set(params["query_key_value"]) == {"kernel"}
    assert set(params["out"]) == {"kernel", "bias"}


def test_a_fused_dense_is_one_matrix_product_seen_by_an_interceptor():
    x = np.ones((2, 3, 8), np.float32)
    attention, variables = attention_of(x)
    seen = {}

    def record(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if isinstance(context.module, FusedDense):
            seen["/".join(context.module.path)] = (context.module.parts, args[0].shape, result.shape)
        return result

    with nn.intercept_methods(record):
        attention.apply(variables, x)
    assert seen == {"query_key_value": (("query", "key", "value"), (2, 3, 8), (2, 3, 3, 8))}
    fused = FusedDense(("a", "b"), 4)
    program = jax.make_jaxpr(fused.apply)(fused.init(A_KEY, x), x)
    assert str(program).count("dot_general") == 1
