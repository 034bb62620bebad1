import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tlj.data.augment.colour import CHANGES, changed, draw, recoloured
from tlj.rows import Rows
from tlj.streams import key

BLENDS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}
apply = jax.jit(changed, static_argnums=3)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, 9, 7, 3))
    # Of other contrast and brightness each, so that means and ranges differ between images and channels.
    return (noise * rng.uniform(0.3, 0.9, (4, 1, 1, 3)) + 20).astype(np.uint8)


def by_pillow(image: np.ndarray, change: str, positive: bool, magnitude: float) -> np.ndarray:
    picture = Image.fromarray(image)
    if change in BLENDS:
        factor = 1 + 0.09 * magnitude * (1 if positive else -1)
        picture = BLENDS[change](picture).enhance(factor)
    elif change == "posterize":
        picture = ImageOps.posterize(picture, 8 - round(4 * magnitude / 10))
    elif change == "solarize":
        picture = ImageOps.solarize(picture, 256 * (1 - magnitude / 10))
    elif change == "autocontrast":
        picture = ImageOps.autocontrast(picture)
    return np.asarray(picture)


@pytest.mark.parametrize("magnitude", [0, 3.3, 9, 10])
@pytest.mark.parametrize("positive", [True, False])
def test_each_change_is_that_of_pillow(images, magnitude, positive):
    signs = jnp.full(len(images), positive)
    for index, change in enumerate(CHANGES):
        found = np.asarray(apply(images.astype(np.float32), jnp.full(len(images), index), signs, magnitude))
        expected = np.stack([by_pillow(image, change, positive, magnitude) for image in images])
        # Pillow rounds the mean, the grey and the result, and a blend may double what grey was rounded by.
        np.testing.assert_allclose(found, expected, atol=2.01, err_msg=change)
        assert np.abs(found - expected).mean() < 0.75, change


@pytest.mark.parametrize("magnitude", [5, 9])
@pytest.mark.parametrize("change", ["identity", "posterize", "solarize"])
def test_what_needs_no_rounding_is_exactly_that_of_pillow(images, change, magnitude):
    # With a pixel on the very threshold of magnitude 5.
    images = np.concatenate([images, np.full_like(images[:1], 128)])
    index, signs = jnp.full(len(images), CHANGES.index(change)), jnp.zeros(len(images), bool)
    found = np.asarray(apply(images.astype(np.float32), index, signs, magnitude))
    np.testing.assert_array_equal(found, np.stack([by_pillow(image, change, False, magnitude) for image in images]))


def test_each_image_gets_its_own_change(images):
    images = images.astype(np.float32)
    mine = jnp.array([CHANGES.index(name) for name in ("solarize", "sharpness", "identity", "autocontrast")])
    signs = jnp.array([True, False, True, False])
    together = apply(images, mine, signs, 7)
    for index in range(4):
        alone = apply(images[index : index + 1], mine[index : index + 1], signs[index : index + 1], 7)
        np.testing.assert_allclose(together[index], alone[0], atol=1e-3)


@pytest.mark.parametrize("value", [0, 100, 255])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_flat_or_tiny_image_survives_every_change(value, size):
    images = np.full((len(CHANGES), size, size, 3), value, np.float32)
    found = np.asarray(apply(images, jnp.arange(len(CHANGES)), jnp.ones(len(CHANGES), bool), 10))
    assert np.isfinite(found).all()
    still = [CHANGES.index(name) for name in ("identity", "contrast", "saturation", "sharpness", "autocontrast")]
    np.testing.assert_allclose(found[still], value, atol=0.01)


def test_many_changes_keep_to_the_range_of_bytes(images):
    found = np.asarray(jax.jit(recoloured, static_argnums=(2, 3))(images, key(0, "augment"), 4, 10))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.abs(found - images).max() > 20


def test_images_go_through_their_changes_one_after_another(images):
    change, positive = draw(key(0, "augment"), 3, len(images))
    expected = images.astype(np.float32)
    for layer in range(3):
        expected = apply(expected, change[layer], positive[layer], 9)
    np.testing.assert_allclose(recoloured(images, key(0, "augment"), 3, 9), expected, atol=1e-3)


def test_every_change_and_both_signs_are_drawn_equally_often():
    change, positive = map(np.asarray, draw(key(0, "augment"), 2, 4096))
    np.testing.assert_allclose(np.bincount(change.ravel(), minlength=8) / 8192, 1 / 8, atol=0.02)
    assert abs(positive.mean() - 0.5) < 0.04
    # Each image has its own, and one does not lead to another: alike as often as chance has it.
    assert abs((change[0] == change[1]).mean() - 1 / 8) < 0.03
    assert abs((positive[0] == positive[1]).mean() - 0.5) < 0.05


def test_one_change_more_leaves_the_first_as_it_was():
    for fewer, more in zip(draw(key(0, "augment"), 1, 8), draw(key(0, "augment"), 2, 8), strict=True):
        np.testing.assert_array_equal(more[0], fewer[0])


def test_a_change_more_costs_no_more_to_compile():
    def flops(number):
        images = jax.ShapeDtypeStruct((2, 32, 32, 3), np.uint8)
        compiled = jax.jit(lambda images: recoloured(images, key(0, "augment"), number, 9)).lower(images).compile()
        return compiled.cost_analysis()["flops"]

    # The compiler counts the body of a loop once; unrolled, three changes come to many times one.
    assert flops(3) < 1.5 * flops(2)


def test_each_image_draws_its_changes_on_whatever_device_it_is():
    a_key = key(0, "augment")
    mapped = jax.vmap(lambda _: draw(a_key, 3, 2, Rows("device", 4)), axis_name="device", out_axes=1)
    expected = jax.jit(lambda: draw(a_key, 3, 8))()
    for of_devices, whole in zip(jax.jit(mapped)(jnp.arange(4)), expected, strict=True):
        np.testing.assert_array_equal(of_devices.reshape(3, 8), whole)
