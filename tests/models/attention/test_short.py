"""The kernel for short sequences, computed by plain JAX, against what it stands for."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.models.attention.short import fits, short_attention

BATCH, LENGTH, HEADS, HEAD_WIDTH = 3, 9, 2, 8
WIDTH = HEADS * HEAD_WIDTH
# Of a whole sequence, of one that ends early, and of one without any real token.
MASK = np.arange(LENGTH) < np.array([[LENGTH], [4], [0]])
TOLERANCES = {"float32": 1e-5, "bfloat16": 0.05}


def numbers(features: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((BATCH, LENGTH, features)).astype(np.float32)


def expected_attention(projected, mask):
    parts = (part.reshape(BATCH, LENGTH, HEADS, HEAD_WIDTH) for part in jnp.split(projected, 3, axis=-1))
    looks = None if mask is None else mask[:, None, None, :]
    return jax.nn.dot_product_attention(*parts, mask=looks).reshape(BATCH, LENGTH, WIDTH)


def found_attention(projected, mask):
    return short_attention(projected, mask, HEADS, interpret=True)


def values_and_gradients(attention, projected, mask):
    @jax.jit
    def both(projected, gradient):
        mixed, pull = jax.vjp(lambda projected: attention(projected, mask), projected)
        return mixed, *pull(gradient.astype(mixed.dtype))

    return [np.asarray(leaf, np.float32) for leaf in both(projected, numbers(WIDTH, 1))]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_values_and_gradients_are_those_of_attention(dtype, mask):
    projected = jnp.asarray(numbers(3 * WIDTH), dtype)
    # What the types lose is left out of what is expected.
    expected = values_and_gradients(expected_attention, projected.astype(jnp.float32), mask)
    found = values_and_gradients(found_attention, projected, mask)
    # Where nobody has anything to look at, any finite mixture will do.
    rows = slice(None) if mask is None else slice(2)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[rows], theirs[rows], atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])
    assert found_attention(projected, mask).dtype == projected.dtype


def test_a_sequence_without_real_tokens_is_finite_and_changes_no_other():
    projected = numbers(3 * WIDTH)
    found = values_and_gradients(found_attention, projected, MASK)
    assert all(np.isfinite(leaf).all() for leaf in found)
    other = projected.copy()
    other[2] += 1
    for before, after in zip(found, values_and_gradients(found_attention, other, MASK), strict=True):
        np.testing.assert_array_equal(before[:2], after[:2])


def test_a_padded_token_gets_no_gradient_as_key_or_value():
    gradient = values_and_gradients(found_attention, numbers(3 * WIDTH), MASK)[1]
    assert not gradient[1, 4:, WIDTH:].any()
    assert gradient[1, :4, WIDTH:].any()


def test_several_runs_in_one_program_get_what_each_gets_alone():
    several = np.stack([numbers(3 * WIDTH, seed) for seed in range(2)])
    together = jax.vmap(lambda projected: found_attention(projected, MASK))(several)
    for found, projected in zip(together, several, strict=True):
        np.testing.assert_allclose(found, found_attention(projected, MASK), rtol=1e-6, atol=1e-6)


OVER_DEVICES = """
import json, re
import jax, numpy as np
from tlj.models.attention.short import short_attention
from tlj.training.parallel import batch_sharding, make_mesh

mesh = make_mesh("jit", 2, {"global_batch_size": 4})
rng = np.random.default_rng(0)
projected = rng.standard_normal((4, 9, 48)).astype(np.float32)
gradient = rng.standard_normal((4, 9, 16)).astype(np.float32)
placed, found = batch_sharding(mesh), []
for mask in (None, np.arange(9) < np.array([[9], [4], [1], [7]])):
    def both(projected, gradient, mask, mesh):
        mixed, pull = jax.vjp(lambda p: short_attention(p, mask, 2, mesh=mesh, interpret=True), projected)
        return mixed, *pull(gradient)

    arguments = jax.device_put((projected, gradient, mask), placed)
    program = jax.jit(both, static_argnums=3).lower(*arguments, mesh).compile()
    divided, whole = program(*arguments), jax.jit(both, static_argnums=3)(projected, gradient, mask, None)
    assert all(leaf.sharding.is_equivalent_to(placed, 3) for leaf in divided)
    collectives = re.findall("all-gather|all-to-all|collective-permute", program.as_text())
    found.append([len(collectives), *(float(abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(divided, whole))])
print(json.dumps(found))
"""


def test_over_four_devices_each_computes_its_own_rows_and_none_is_sent(processes):
    ended = processes.start(script=OVER_DEVICES, devices=4).wait()
    assert ended.code == 0, ended.stderr[-3000:]
    for collectives, *differences in json.loads(ended.stdout):
        assert collectives == 0
        assert max(differences) < 1e-6


def test_scores_are_written_nowhere():
    batch, length = 2, 40
    projected = jax.ShapeDtypeStruct((batch, length, 3 * WIDTH), jnp.float32)
    program = jax.make_jaxpr(lambda x: jax.vjp(lambda x: short_attention(x, None, HEADS), x)[0])(projected)
    assert str(program).count("pallas_call") == 1

    def shapes(jaxpr):
        return {tuple(v.aval.shape) for equation in jaxpr.eqns for v in equation.outvars}

    assert (batch, HEADS, length, length) not in shapes(program.jaxpr)


@pytest.mark.parametrize(
    ("length", "width", "dtype", "expected"),
    [
        # ViT-S, ViT-B and ViT-L with patches of 16 at 224 pixels, BERT-base at 128 tokens.
        (197, 384, jnp.bfloat16, True),
        (197, 768, jnp.bfloat16, True),
        (197, 1024, jnp.bfloat16, True),
        (128, 768, jnp.float32, True),
        # The same at 384 pixels, and whole documents.
        (577, 768, jnp.bfloat16, False),
        (512, 768, jnp.bfloat16, False),
        (256, 1024, jnp.float32, False),
    ],
)
def test_what_fits_on_the_chip(length, width, dtype, expected):
    assert fits(length, width, dtype) == expected
