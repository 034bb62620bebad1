"""Position embeddings for another resolution."""

import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tlj.errors import InputError
from tlj.pretrained.formats.positions import METHODS, resize_positions

GOLDEN = np.load(pathlib.Path(__file__).parents[2] / "golden" / "positions.npz")
sides = st.integers(1, 9)
methods = st.sampled_from(METHODS)


def positions(side, has_class_token, seed=0, width=2):
    return np.random.default_rng(seed).standard_normal((1, side * side + has_class_token, width)).astype(np.float32)


def resize(values, side, has_class_token, method):
    shape = (1, side * side + has_class_token, values.shape[-1])
    return resize_positions(values, shape, has_class_token=has_class_token, method=method)


@pytest.mark.parametrize("name", [name.removeprefix("before/") for name in GOLDEN if name.startswith("before/")])
def test_bicubic_is_that_of_torch(name):
    expected = GOLDEN[f"after/{name}"]
    found = resize_positions(GOLDEN[f"before/{name}"], expected.shape, has_class_token=True, method="bicubic")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)  # torch computes the weights in float32


def test_bilinear_keeps_the_corners_and_halves_the_way_between():
    grid = np.array([[0.0, 2.0], [4.0, 6.0]], np.float32).reshape(1, 4, 1)
    found = resize(grid, 3, False, "bilinear").reshape(3, 3)
    np.testing.assert_allclose(found, [[0, 1, 2], [2, 3, 4], [4, 5, 6]], atol=1e-6)


def test_bilinear_is_scipys_zoom():
    before = positions(7, True)
    expected = ndimage.zoom(before[0, 1:].reshape(7, 7, 2), (12 / 7, 12 / 7, 1), order=1)
    np.testing.assert_array_equal(resize(before, 12, True, "bilinear")[0, 1:], expected.reshape(144, 2))


@settings(max_examples=60, deadline=None)
@given(sides, sides, methods, st.integers(0, 99))
def test_the_class_token_is_kept_and_the_patches_do_not_see_it(before, after, method, seed):
    values = positions(before, True, seed)
    found = resize(values, after, True, method)
    np.testing.assert_array_equal(found[:, 0], values[:, 0])
    np.testing.assert_array_equal(found[:, 1:], resize(values[:, 1:], after, False, method))


@settings(max_examples=60, deadline=None)
@given(sides, sides, methods)
def test_a_constant_stays_that_constant(before, after, method):
    constant = np.full((1, before * before, 2), 3.25, np.float32)
    np.testing.assert_allclose(resize(constant, after, False, method), 3.25, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(sides, sides, methods, st.integers(0, 99))
def test_rows_and_columns_are_treated_alike(before, after, method, seed):
    def transposed(values, side):
        return values.reshape(1, side, side, -1).swapaxes(1, 2).reshape(1, side * side, -1)

    values = positions(before, False, seed)
    found = resize(transposed(values, before), after, False, method)
    np.testing.assert_allclose(found, transposed(resize(values, after, False, method), after), atol=1e-5)


@given(sides, methods)
def test_the_same_resolution_changes_nothing(side, method):
    values = positions(side, True)
    np.testing.assert_array_equal(resize(values, side, True, method), values)


@pytest.mark.parametrize(("before", "after"), [(6, 9), (9, 6), (1, 9), (9, 0)])
def test_a_grid_that_is_not_square_is_refused(before, after):
    with pytest.raises(InputError, match="no square grid"):
        resize_positions(
            np.zeros((1, before, 2), np.float32), (1, after, 2), has_class_token=before == 1, method="bicubic"
        )


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="'bicubic'"):
        resize(positions(2, False), 3, False, "bicubik")
