"""Rows of a global batch: what is drawn for them does not depend on where they are.

``jax.vmap`` with an axis name stands for a map over devices; ``tests/models/test_row_dropout.py`` has real ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.rows import ALL, Rows
from tlj.streams import key

KEY = key(0, "dropout")


def assembled(draw, devices, parts, rows):
    """What ``draw(rows at hand, their number)`` gives on every device and in every part, in the order of the batch."""

    def on_device(_):
        return jnp.stack([draw(Rows("device", devices, parts, part), rows) for part in range(parts)], axis=1)

    drawn = jax.vmap(on_device, axis_name="device")(jnp.arange(devices))
    return np.asarray(drawn).reshape(devices * rows * parts, *drawn.shape[3:])


def uniform(shape):
    return jax.random.uniform(KEY, shape)


@given(st.integers(1, 5), st.integers(1, 4), st.lists(st.integers(1, 3), max_size=2))
@settings(derandomize=True, deadline=None)
def test_parts_together_have_the_draw_of_the_global_batch(parts, rows, rest):
    def number(shape):
        return np.arange(np.prod(shape)).reshape(shape)

    found = np.stack([Rows(parts=parts, part=part).draw(number, (rows, *rest)) for part in range(parts)], axis=1)
    np.testing.assert_array_equal(found.reshape(rows * parts, *rest), number((rows * parts, *rest)))


@pytest.mark.parametrize(("devices", "parts", "shape"), [(4, 1, (2, 3)), (2, 3, (1, 2, 2)), (3, 2, (2,))])
def test_devices_together_have_the_draw_of_the_global_batch(devices, parts, shape):
    rows, *rest = shape
    whole = (devices * parts * rows, *rest)
    found = assembled(lambda here, count: here.draw(uniform, (count, *rest)), devices, parts, rows)
    np.testing.assert_array_equal(found, uniform(whole))
    found = assembled(lambda here, count: here.bernoulli(KEY, 0.7, (count, *rest)), devices, parts, rows)
    np.testing.assert_array_equal(found, jax.random.bernoulli(KEY, 0.7, whole))


@pytest.mark.parametrize("p", [0.0, 0.9, 1 - 2**-23])
def test_probabilities_are_those_of_jax_to_the_last_bit(p):
    found = assembled(lambda here, count: here.bernoulli(KEY, p, (count, 4099)), 1, 4, 8)
    np.testing.assert_array_equal(found, jax.random.bernoulli(KEY, p, (32, 4099)))


def test_the_part_may_be_counted_by_a_scan():
    def one(carry, part):
        return carry, Rows(parts=3, part=part).bernoulli(KEY, 0.5, (2, 5))

    _, drawn = jax.lax.scan(one, None, jnp.arange(3))
    expected = jax.random.bernoulli(KEY, 0.5, (6, 5))
    np.testing.assert_array_equal(np.swapaxes(drawn, 0, 1).reshape(6, 5), expected)


def test_all_rows_are_drawn_by_the_function_itself():
    shapes = []
    assert ALL.draw(lambda shape: shapes.append(shape) or "drawn", (4, 3)) == "drawn"
    assert shapes == [(4, 3)]
    program = jax.make_jaxpr(lambda: ALL.bernoulli(KEY, 0.5, (4, 3)))()
    assert str(program) == str(jax.make_jaxpr(lambda: jax.random.bernoulli(KEY, 0.5, (4, 3)))())


def test_masks_are_not_drawn_for_rows_that_are_elsewhere():
    here = Rows(parts=16, part=3)
    compiled = jax.jit(lambda: here.bernoulli(KEY, 0.5, (8, 1000))).lower().compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 16 * 8 * 1000


@pytest.mark.parametrize("implementation", ["rbg", "threefry2x32"])
def test_a_generator_that_does_not_count_gives_the_same_rows(implementation):
    other = jax.random.key(0, impl=implementation)
    with jax.threefry_partitionable(False):
        found = assembled(lambda here, count: here.bernoulli(other, 0.5, (count, 3)), 2, 2, 2)
        np.testing.assert_array_equal(found, jax.random.bernoulli(other, 0.5, (8, 3)))
