"""All changes together: their order, their independence of each other, and what they compile to."""

import jax
import numpy as np
import pytest

from tlj.data.augment.chain import augment
from tlj.data.augment.colour import recoloured
from tlj.data.augment.crop import cropped
from tlj.data.augment.keys import change_key
from tlj.data.augment.move import flipped, shifted
from tlj.data.images import Augmentation
from tlj.rows import Rows
from tlj.streams import key

ALL = Augmentation(shift=2, flip=True, crop=0.3, colour=2)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(1, 256, (8, 12, 12, 3), dtype=np.uint8)


compiled = jax.jit(augment, static_argnums=(2, 3))


def augmented(images, augmentation, seed=0, aspect=None):
    return np.asarray(compiled(images, key(seed, "augment"), augmentation, 12, aspect))


def test_no_augmentation_gives_the_very_images_back(images):
    assert augment(images, key(0, "augment"), Augmentation(), 12) is images


def test_a_shift_alone_draws_from_the_key_itself_and_keeps_bytes(images):
    found = augmented(images, Augmentation(shift=2))
    np.testing.assert_array_equal(found, shifted(images, key(0, "augment"), 2))
    assert found.dtype == np.uint8
    assert augmented(images, Augmentation(shift=2, flip=True)).dtype == np.uint8


def test_the_chain_is_crop_flip_colour_shift_and_each_draws_what_it_draws_alone(images):
    def by_hand(images, a_key, aspect):
        images = cropped(images, aspect, change_key(a_key, "crop"), 0.3, 12)
        images = flipped(images, change_key(a_key, "flip"))
        images = recoloured(images, change_key(a_key, "colour"), 2, 9.0)
        return shifted(images, a_key, 2)

    aspect = np.linspace(0.5, 2, 8, dtype=np.float32)
    expected = jax.jit(by_hand)(images, key(0, "augment"), aspect)
    np.testing.assert_array_equal(augmented(images, ALL, aspect=aspect), expected)


def test_what_enters_at_the_border_is_zero_whatever_the_colours_do(images):
    found = augmented(np.full((32, 12, 12, 3), 90, np.uint8), Augmentation(shift=4, colour=1, magnitude=10))
    flat = found.reshape(32, -1)
    # A flat image stays flat, so any other value is that of the border.
    assert all(set(np.unique(image)) - {image.max()} <= {0.0} for image in flat.round(2))


def test_a_crop_takes_a_larger_square_to_the_size_of_the_model():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    found = augmented(images, Augmentation(crop=0.5))
    assert found.shape == (4, 12, 12, 3)
    assert found.dtype == np.float32


def test_the_same_key_augments_alike_and_another_does_not(images):
    np.testing.assert_array_equal(augmented(images, ALL), augmented(images, ALL))
    assert not np.array_equal(augmented(images, ALL), augmented(images, ALL, seed=1))


def test_augmentation_compiles_to_what_it_computes_without_a_compiler(images):
    augmentation = Augmentation(shift=2, flip=True)
    np.testing.assert_array_equal(augmented(images, augmentation), augment(images, key(0, "augment"), augmentation, 12))


def test_what_is_drawn_for_an_image_does_not_depend_on_how_many_there_are(images):
    exact = Augmentation(flip=True)
    np.testing.assert_array_equal(augmented(images[:4], exact), augmented(images, exact)[:4])


def test_an_image_is_changed_alike_on_whatever_device_it_is(images):
    aspect = np.linspace(0.5, 2, 8, dtype=np.float32)

    def on_device(images, aspect):
        return augment(images, key(0, "augment"), ALL, 12, aspect, Rows("device", 4))

    found = jax.jit(jax.vmap(on_device, axis_name="device"))(images.reshape(4, 2, 12, 12, 3), aspect.reshape(4, 2))
    # What a crop interpolates is rounded as the compiler orders it; posterize may make a step of that.
    off = np.abs(found.reshape(8, 12, 12, 3) - augmented(images, ALL, aspect=aspect))
    assert (off > 1e-2).mean() < 0.01
