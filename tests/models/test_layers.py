"""Layers shared by the families."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.models.layers import ACTIVATIONS, MLP, Classifier, FusedDense, check_choice, product
from tlj.streams import key

A_KEY = key(0, "backbone_init")


class Average(nn.Module):
    """A backbone without parameters."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, *, train=False):
        return images.mean(axis=(1, 2)).astype(self.dtype)


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
