"""Attention with its gradients written out, and which kernel computes it."""

import dataclasses

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.models.attention import self_attention
from tlj.models.attention.kernels import XLA, Kernels
from tlj.models.attention.self_attention import SelfAttention, _mixed, attend
from tlj.models.registry import build
from tlj.streams import key

BATCH, LENGTH, HEADS, HEAD_WIDTH = 3, 7, 2, 8
WIDTH = HEADS * HEAD_WIDTH
FLASH = Kernels("flash", interpret=True)
# Padding; a row without any real token; and two stretches of tokens that share a row.
PADDED = np.arange(LENGTH) < np.array([[LENGTH], [4], [0]])
_SEGMENTS = np.array([[1, 1, 1, 2, 2, 2, 2], [1, 2, 2, 3, 3, 3, 0], [1] * 7])
PACKED = _SEGMENTS[:, :, None] == _SEGMENTS[:, None, :]
MASKS = {"whole": None, "padded": PADDED, "packed": PACKED}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def axes_of_scores(mask):
    return None if mask is None else mask[:, None, None] if mask.ndim == 2 else mask[:, None]


def plain(projected, looks, factors):
    """Attention as it is written in a book, for JAX to differentiate."""
    parts = (part.reshape(BATCH, LENGTH, HEADS, HEAD_WIDTH) for part in jnp.split(projected, 3, axis=-1))
    query, key_, value = (part.transpose(0, 2, 1, 3) for part in parts)
    scores = query @ key_.transpose(0, 1, 3, 2) / np.sqrt(HEAD_WIDTH)
    scores = scores if looks is None else jnp.where(looks, scores, -1e30)
    weights = jax.nn.softmax(scores) * (1 if factors is None else factors)
    return (weights @ value).transpose(0, 2, 1, 3).reshape(BATCH, LENGTH, WIDTH)


def written_out(softmax):
    return lambda projected, looks, factors: _mixed(projected, looks, factors, HEADS, softmax)


def values_and_gradients(attention, projected, looks, factors):
    @jax.jit
    def both(projected, gradient):
        mixed, pull = jax.vjp(lambda projected: attention(projected, looks, factors), projected)
        return mixed, *pull(gradient.astype(mixed.dtype))

    return [np.asarray(leaf, np.float32) for leaf in both(projected, numbers(BATCH, LENGTH, WIDTH, seed=1))]


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_the_gradient_written_out_is_the_one_that_jax_derives(mask, dropped):
    projected, looks = numbers(BATCH, LENGTH, 3 * WIDTH), axes_of_scores(MASKS[mask])
    kept = np.random.default_rng(2).random((BATCH, HEADS, LENGTH, LENGTH)) < 0.7
    factors = (kept / 0.7).astype(np.float32) if dropped else None
    expected = values_and_gradients(plain, projected, looks, factors)
    found = values_and_gradients(written_out("float32"), projected, looks, factors)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("softmax", ["float32", "compute"])
@pytest.mark.parametrize("mask", ["whole", "padded"])
def test_in_bfloat16_it_is_near_whatever_softmax_computes_in(mask, softmax):
    projected = jnp.asarray(numbers(BATCH, LENGTH, 3 * WIDTH), jnp.bfloat16)
    looks = axes_of_scores(MASKS[mask])
    expected = values_and_gradients(plain, projected.astype(jnp.float32), looks, None)
    found = values_and_gradients(written_out(softmax), projected, looks, None)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.06, rtol=0.06)


@pytest.mark.parametrize(("softmax", "dtype"), [("float32", jnp.float32), ("compute", jnp.bfloat16)])
def test_scores_are_in_the_type_that_softmax_is_asked_to_compute_in(softmax, dtype):
    projected = jax.ShapeDtypeStruct((BATCH, LENGTH, 3 * WIDTH), jnp.bfloat16)

    def attention(projected):
        return attend(projected, HEADS, None, Kernels(softmax=softmax))

    program = jax.make_jaxpr(jax.vjp, static_argnums=0)(attention, projected).jaxpr
    scores = [v.aval.dtype for e in every_equation(program) for v in e.outvars if e.primitive.name == "exp"]
    assert scores == [dtype]


def every_equation(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from every_equation(inner)


def kernel_calls(kernels, projected, mask):
    """Names of the kernels in a program that attends."""
    program = str(jax.make_jaxpr(lambda projected: attend(projected, HEADS, mask, kernels))(projected))
    return [name for name in ("pallas_call", "dot_product_attention_fwd") if name in program]


@pytest.mark.parametrize(
    ("kernels", "length", "heads_of", "mask", "dtype", "expected"),
    [
        (FLASH, LENGTH, 8, None, "float32", ["pallas_call"]),
        (FLASH, LENGTH, 8, PADDED, "bfloat16", ["pallas_call"]),
        (FLASH, LENGTH, 8, PACKED, "float32", []),
        (FLASH, 2000, 8, None, "float32", []),
        (Kernels("cudnn"), LENGTH, 8, PACKED, "bfloat16", []),
        (Kernels("cudnn"), LENGTH, 8, None, "float32", []),
        (Kernels("cudnn"), LENGTH, 12, None, "bfloat16", []),
        (XLA, LENGTH, 8, None, "bfloat16", []),
    ],
)
def test_what_a_kernel_cannot_compute_xla_does(kernels, length, heads_of, mask, dtype, expected):
    projected = jax.ShapeDtypeStruct((BATCH, length, 3 * HEADS * heads_of), dtype)
    assert kernel_calls(kernels, projected, mask) == expected


@pytest.mark.parametrize(("mask", "lengths"), [(None, None), (PADDED, [LENGTH, 4, 0])])
def test_cudnn_is_told_lengths_and_never_a_mask(monkeypatch, mask, lengths):
    told = {}

    def stand_in(query, key, value, **options):
        told.update(options, shapes=[part.shape for part in (query, key, value)])
        return value

    monkeypatch.setattr(self_attention.jax.nn, "dot_product_attention", stand_in)
    projected = jnp.asarray(numbers(BATCH, LENGTH, 3 * WIDTH), jnp.bfloat16)
    mixed = attend(projected, HEADS, mask, Kernels("cudnn"))
    np.testing.assert_array_equal(mixed, projected[..., 2 * WIDTH :])
    assert told["implementation"] == "cudnn"
    assert told["shapes"] == [(BATCH, LENGTH, HEADS, HEAD_WIDTH)] * 3
    assert "mask" not in told
    for name in ("query_seq_lengths", "key_value_seq_lengths"):
        assert told[name] is None if lengths is None else told[name].tolist() == lengths


@pytest.mark.parametrize("family", ["vit", "bert"])
def test_a_whole_model_computes_the_same_with_the_kernel(random_spec, random_variables, random_inputs, family):
    spec = dataclasses.replace(random_spec(family, 1), attention_dropout=0.0)
    variables, inputs = random_variables(spec), random_inputs(spec, 4)
    found = []
    for kernels in (XLA, FLASH):
        module = build(spec, kernels=kernels)

        def loss(params, module=module):
            rngs = {"dropout": key(0, "dropout")}
            return (module.apply({"params": params}, inputs, train=True, rngs=rngs) ** 2).sum()

        program = jax.jit(jax.value_and_grad(loss))
        assert ("pallas_call" in str(jax.make_jaxpr(program)(variables["params"]))) == (kernels is FLASH)
        found.append(program(variables["params"]))
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4), *found)


@pytest.mark.parametrize(("train", "expected"), [(True, False), (False, True)])
def test_weights_that_are_dropped_are_xlas_and_all_others_the_kernels(train, expected):
    attention, x = SelfAttention(HEADS, dropout=0.5, kernels=FLASH), numbers(BATCH, LENGTH, WIDTH)
    variables = jax.eval_shape(attention.init, key(0, "backbone_init"), x)
    program = jax.make_jaxpr(lambda v: attention.apply(v, x, train=train, rngs={"dropout": key(0, "dropout")}))
    assert ("pallas_call" in str(program(variables))) == expected
