"""Layers shared by the families."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.models.layers import ACTIVATIONS, MLP, Classifier, SelfAttention
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
    kernel, bias = params["query_key_value_kernel"], params["query_key_value_bias"]
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
    kernel = np.asarray(params["query_key_value_kernel"])
    limit = np.sqrt(6 / (2 * width))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    assert not np.any(params["query_key_value_bias"])


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
