import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tlj.data.augment.crop import cropped, cut, random_boxes
from tlj.rows import Rows
from tlj.streams import key

MANY = 4000
# Compiled for few shapes: one by one, their operations take seconds to compile.
draw, cut_out = jax.jit(random_boxes), jax.jit(cut, static_argnums=3)


def boxes(aspect, smallest, count=MANY, seed=0):
    """Corners and sizes as shares, and each box's share of the area and shape in the image as it was."""
    drawn = draw(key(seed, "augment"), np.full(MANY, aspect, np.float32), np.float32(smallest))
    corner, size = (np.asarray(each)[:count] for each in drawn)
    return corner, size, size.prod(1), size[:, 1] / size[:, 0] * aspect


@pytest.fixture(scope="module")
def photographs():
    """Smooth noise, as photographs are: eight squashed images of 32 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)) for image in small])


def by_pillow(image, corner, size, pixels):
    """The same box as Pillow cuts and resizes it."""
    height, width, _ = image.shape
    top, left = float(corner[0]) * height, float(corner[1]) * width
    box = (left, top, min(width, left + float(size[1]) * width), min(height, top + float(size[0]) * height))
    return np.asarray(Image.fromarray(image).resize((pixels, pixels), Image.Resampling.BILINEAR, box=box))


@pytest.mark.parametrize("pixels", [8, 24, 40])
def test_a_cut_is_that_of_pillow(photographs, pixels):
    corner, size, _, _ = boxes(1.5, 0.05, len(photographs))
    found = np.asarray(cut_out(photographs, corner, size, pixels))
    expected = np.stack([by_pillow(*each, pixels) for each in zip(photographs, corner, size, strict=True)])
    # Pillow rounds after each of its two passes.
    assert np.abs(found - expected).max() <= 1.01
    assert np.abs(found - expected).mean() < 0.4
    assert found.dtype == np.float32


def test_the_whole_image_at_its_own_size_is_itself(photographs):
    whole = (np.zeros((8, 2), np.float32), np.ones((8, 2), np.float32))
    np.testing.assert_allclose(cut_out(photographs, *whole, 32), photographs, atol=1e-4)


def test_a_box_on_the_edges_of_pixels_is_those_pixels():
    image = np.random.default_rng(1).integers(0, 256, (1, 16, 8, 3), dtype=np.uint8)
    corner, size = np.array([[4 / 16, 2 / 8]], "f4"), np.array([[4 / 16, 4 / 8]], "f4")
    np.testing.assert_allclose(cut_out(image, corner, size, 4), image[:, 4:8, 2:6], atol=1e-3)


def test_a_flat_image_stays_flat_to_its_corners():
    corner, size, _, _ = boxes(1.0, 0.01, 8)
    found = cut_out(np.full((8, 32, 32, 3), 255, np.uint8), corner, size, 24)
    np.testing.assert_allclose(found, 255, atol=1e-3)


def test_areas_are_uniform_and_shapes_log_uniform():
    corner, size, area, ratio = boxes(1.0, 0.05)
    assert ratio.min() >= 0.75 - 1e-5
    assert ratio.max() <= 4 / 3 + 1e-5
    assert abs(np.log(ratio).mean()) < 0.01
    assert area.min() >= 0.05 - 1e-5
    # Boxes of up to 3/4 of a square fit whatever their shape, so up to there none is drawn again.
    small = area[area < 0.7]
    quartiles = np.quantile(small, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, 0.05 + 0.65 * np.array([0.25, 0.5, 0.75]), atol=0.03)
    shape = np.log(ratio[area < 0.7]) / np.log(4 / 3)
    np.testing.assert_allclose(np.quantile(shape, [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.06)


def test_places_are_uniform_over_what_is_left():
    corner, size, _, _ = boxes(1.0, 0.05)
    place = corner / np.maximum(1 - size, 1e-6)
    np.testing.assert_allclose(np.quantile(place, [0.25, 0.5, 0.75], axis=0).T, [[0.25, 0.5, 0.75]] * 2, atol=0.03)


@given(st.floats(0.1, 10), st.floats(0.01, 0.99), st.integers(0, 99))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_boxes_lie_in_the_image_and_have_the_shape_that_was_asked_for(aspect, smallest, seed):
    corner, size, area, ratio = boxes(aspect, smallest, 16, seed)
    assert (corner >= 0).all()
    assert (corner + size <= 1 + 1e-6).all()
    assert (size > 0).all()
    assert ((ratio > 0.75 - 1e-4) & (ratio < 4 / 3 + 1e-4)).all()
    assert (
        (area > smallest - 1e-4) | (np.isclose(size, 1, atol=1e-6).any(1) & np.isclose(corner + size / 2, 0.5).all(1))
    ).all()


@pytest.mark.parametrize(("aspect", "size"), [(4.0, (1.0, 1 / 3)), (0.25, (1 / 3, 1.0))])
def test_where_no_box_fits_the_largest_central_one_is_taken(aspect, size):
    corner, found, _, _ = boxes(aspect, 0.9, 8)
    np.testing.assert_allclose(found, [size] * 8, rtol=1e-5)
    np.testing.assert_allclose(corner + found / 2, 0.5, atol=1e-6)


def test_a_long_image_is_cropped_in_its_own_shape(photographs):
    crop = jax.jit(cropped, static_argnums=(3, 4))

    def seen(aspect):
        return np.asarray(crop(photographs, aspect, key(0, "augment"), 0.3, 24))

    square, long = (seen(np.full(8, aspect, np.float32)) for aspect in (1, 2))
    np.testing.assert_array_equal(seen(None), square)
    assert np.abs(long - square).max() > 10
    corner, size, _, _ = boxes(2.0, 0.3, 8)
    np.testing.assert_allclose(long, cut_out(photographs, corner, size, 24), atol=1e-3)


def test_a_crop_compiles_to_two_products_per_image():
    shapes = jax.ShapeDtypeStruct((4, 64, 64, 3), np.uint8), jax.ShapeDtypeStruct((4,), np.float32)
    compiled = jax.jit(lambda i, a: cropped(i, a, key(0, "augment"), 0.08, 48)).lower(*shapes).compile()
    products = 2 * 4 * 3 * (48 * 64 * 64 + 48 * 48 * 64)
    assert products < compiled.cost_analysis()["flops"] < 1.5 * products


def test_each_image_draws_its_box_on_whatever_device_it_is():
    a_key, aspect = key(0, "augment"), np.geomspace(0.3, 3, 8, dtype=np.float32)
    mapped = jax.vmap(lambda aspect: random_boxes(a_key, aspect, 0.3, Rows("device", 4)), axis_name="device")
    for of_devices, whole in zip(jax.jit(mapped)(aspect.reshape(4, 2)), draw(a_key, aspect, 0.3), strict=True):
        np.testing.assert_allclose(of_devices.reshape(8, 2), whole, rtol=1e-5, atol=1e-6)
