"""Layers shared by the families."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.models.attention.self_attention import SelfAttention
from tlj.models.layers import ACTIVATIONS, MLP, Classifier, FusedDense, check_choice, product
from tlj.streams import key

A_KEY = key(0, "backbone_init")


class Average(nn.Module):
    """A backbone without parameters."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, *, train=False):
        return images.mean(axis=(1, 2)).astype(self.dtype)


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


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_fused_dense_equals_dense_layers_side_by_side(use_bias):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5)).astype(np.float32)
    fused = FusedDense(("a", "b", "c"), 4, use_bias=use_bias)
    params = fused.init(A_KEY, x)["params"]
    assert jax.tree.map(jnp.shape, params) == {"kernel": (5, 3, 4), **({"bias": (3, 4)} if use_bias else {})}
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), params)
    found = fused.apply({"params": params}, x)
    assert found.shape == (2, 3, 3, 4)
    dense = nn.Dense(4, use_bias=use_bias)
    for i in range(3):
        part = {"kernel": params["kernel"][:, i], **({"bias": params["bias"][i]} if use_bias else {})}
        np.testing.assert_allclose(found[..., i, :], dense.apply({"params": part}, x), rtol=1e-5, atol=1e-5)


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


def test_the_parts_of_a_fused_dense_start_independent_of_each_other():
    params = FusedDense(("a", "b"), 32, bias_init=nn.initializers.normal(1.0)).init(A_KEY, jnp.zeros((1, 32)))["params"]
    for left, right in ((params["kernel"][:, 0], params["kernel"][:, 1]), params["bias"]):
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.5
        assert not np.any(left == right)


def test_a_fused_dense_computes_in_its_type_and_keeps_float32_parameters():
    x = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    fused = FusedDense(("a", "b"), 8, jnp.bfloat16)
    variables = fused.init(A_KEY, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    found = fused.apply(variables, x)
    assert found.dtype == jnp.bfloat16
    exact = FusedDense(("a", "b"), 8).apply(variables, x)
    np.testing.assert_allclose(found.astype(jnp.float32), exact, atol=0.03)


def test_mlp_is_two_dense_layers_with_the_activation_between():
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    mlp = MLP(hidden=10, activation="relu")
    variables = mlp.init(A_KEY, x, train=False)
    up, down = variables["params"]["up"], variables["params"]["down"]
    expected = np.maximum(x @ up["kernel"] + up["bias"], 0) @ down["kernel"] + down["bias"]
    np.testing.assert_allclose(mlp.apply(variables, x, train=False), expected, rtol=1e-5, atol=1e-6)


def test_mlp_drops_hidden_units_in_training_alone():
    x = jnp.ones((4, 6))
    mlp = MLP(hidden=32, dropout=0.5)
    variables = mlp.init(A_KEY, x, train=False)
    rngs = {"dropout": key(0, "dropout")}
    trained = mlp.apply(variables, x, train=True, rngs=rngs)
    assert not np.allclose(trained, mlp.apply(variables, x, train=False))
    np.testing.assert_array_equal(mlp.apply(variables, x, train=False, rngs=rngs), mlp.apply(variables, x, train=False))


def test_gelu_is_exact_and_gelu_tanh_its_approximation():
    x = np.float32(1.0)
    assert float(ACTIVATIONS["gelu"](x)) == pytest.approx(0.841344746, abs=1e-6)
    assert float(ACTIVATIONS["gelu_tanh"](x)) == pytest.approx(0.841191991, abs=1e-6)


def test_classifier_puts_a_linear_head_on_the_features():
    images = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    model = Classifier(Average(), num_classes=7)
    variables = model.init(A_KEY, images)
    head = variables["params"]["head"]
    assert head["kernel"].shape == (3, 7)
    assert not np.any(head["bias"])
    np.testing.assert_allclose(
        model.apply(variables, images), images.mean((1, 2)) @ head["kernel"], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_classifier_without_classes_has_no_head_and_returns_float32_features(dtype):
    images = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    model = Classifier(Average(dtype), num_classes=0, dropout=0.5)
    assert model.init(A_KEY, images) == {}
    features = model.apply({}, images)
    assert features.dtype == jnp.float32
    np.testing.assert_array_equal(features, images.mean((1, 2)).astype(dtype).astype(np.float32))
    # No dropout either: none would be asked for random numbers.
    np.testing.assert_array_equal(model.apply({}, images, train=True), features)


def test_a_choice_that_does_not_exist_is_refused_with_the_nearest():
    check_choice("stem", "cifar", ("imagenet", "cifar"))
    line = r"config\.model\.settings\.stem: unknown stem 'cifr'; did you mean 'cifar'\?; use one of cifar, imagenet"
    with pytest.raises(InputError, match=line):
        check_choice("stem", "cifr", ("imagenet", "cifar"))


def test_head_starts_from_a_narrow_normal():
    images = jnp.zeros((1, 4, 4, 300))
    kernel = Classifier(Average(), num_classes=50).init(A_KEY, images)["params"]["head"]["kernel"]
    assert float(kernel.std()) == pytest.approx(0.02, rel=0.03)
    assert abs(float(kernel.mean())) < 0.001


def test_head_computes_in_float32_on_a_bfloat16_backbone():
    images = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    model = Classifier(Average(jnp.bfloat16), num_classes=7)
    variables = model.init(A_KEY, images)
    logits = model.apply(variables, images)
    assert logits.dtype == jnp.float32
    features = np.asarray(jnp.asarray(images).mean(axis=(1, 2)).astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(logits, features @ variables["params"]["head"]["kernel"], rtol=1e-5, atol=1e-7)


def test_a_head_of_several_layers_is_a_perceptron_on_the_features():
    images = np.random.default_rng(0).normal(size=(4, 2, 2, 6)).astype(np.float32)
    model = Classifier(Average(), num_classes=3, layers=(5, 7))
    params = model.init(A_KEY, images)["params"]["head"]
    assert {name: leaf["kernel"].shape for name, leaf in params.items()} == {
        "hidden0": (6, 5), "hidden1": (5, 7), "last": (7, 3),
    }  # fmt: skip
    x = images.mean(axis=(1, 2))
    for name in ("hidden0", "hidden1"):
        x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
    expected = x @ params["last"]["kernel"] + params["last"]["bias"]
    np.testing.assert_allclose(model.apply({"params": {"head": params}}, images), expected, rtol=1e-5, atol=1e-6)


def test_a_linear_head_keeps_the_names_that_checkpoints_have():
    images = np.zeros((1, 2, 2, 6), np.float32)
    assert Classifier(Average(), num_classes=3).init(A_KEY, images)["params"]["head"].keys() == {"kernel", "bias"}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_product_and_its_gradients_are_those_of_a_matrix_product(dtype):
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in ((2, 3, 5), (5, 4), (2, 3, 4))]

    def of(multiply):
        @jax.jit
        def both(x, kernel, gradient):
            found, pull = jax.vjp(multiply, x, kernel)
            return found, *pull(gradient)

        return both(*arrays)

    for ours, theirs, like in zip(of(product), of(lambda x, k: x @ k), (arrays[2], *arrays[:2]), strict=True):
        assert (ours.shape, ours.dtype) == (like.shape, dtype)
        tolerance = 1e-5 if dtype == jnp.float32 else 0.05
        np.testing.assert_allclose(*(np.asarray(a, np.float32) for a in (ours, theirs)), rtol=tolerance, atol=tolerance)


def test_what_is_frozen_costs_no_gradient():
    x, kernel = jax.ShapeDtypeStruct((64, 32), jnp.float32), jax.ShapeDtypeStruct((32, 48), jnp.float32)
    one = 2 * 64 * 32 * 48

    def products(*trained):
        def loss(x, kernel):
            return (product(x, kernel) ** 2).sum()

        program = jax.jit(jax.grad(loss, trained)).lower(x, kernel)
        # What `tlj plan` counts, and what runs.
        return [stage.cost_analysis()["flops"] / one for stage in (program, program.compile())]

    assert products(0, 1) == pytest.approx([3, 3], rel=0.1)
    assert products(0) == pytest.approx([2, 2], rel=0.1)
    assert products(1) == pytest.approx([2, 2], rel=0.1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_the_type_that_a_backbone_computes_in(name):
    x = np.linspace(-6, 6, 25)
    found = ACTIVATIONS[name](jnp.asarray(x, jnp.bfloat16))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), ACTIVATIONS[name](jnp.float32(x)), atol=0.03)


def test_gelu_is_that_of_jax():
    x = np.linspace(-9, 9, 1001, dtype=np.float32)
    np.testing.assert_allclose(ACTIVATIONS["gelu"](x), jax.nn.gelu(x, approximate=False), atol=1e-6)
