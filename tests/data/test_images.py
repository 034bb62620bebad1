"""Preprocessing on the device."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from tlj.data.images import Augmentation, Preprocessing, augment, normalise
from tlj.errors import InputError
from tlj.models.vit import ViTSpec
from tlj.streams import key


@pytest.fixture(scope="module")
def images():
    # No zeros, so that what a shift brings in at the border can be told from the image.
    return np.random.default_rng(0).integers(1, 256, (64, 6, 6, 3), dtype=np.uint8)


def test_normalise_scales_bytes_and_standardises_each_channel():
    images = np.array([[[[0, 255, 51]]]], np.uint8)
    preprocessing = Preprocessing(image_size=1, mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 2.0))
    result = normalise(images, preprocessing)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, 0, 0], [-1.0, 3.0, 0.0], atol=1e-6)


def test_no_augmentation_gives_the_images_back(images):
    np.testing.assert_array_equal(augment(images, key(0, "augment"), Augmentation()), images)


def shifts_of(image: np.ndarray, result: np.ndarray, margin: int) -> list[tuple[int, int]]:
    """All shifts, rows then columns, that turn the image into the result with zeros coming in."""
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
    height, width, _ = image.shape
    return [
        (row, column)
        for row in range(2 * margin + 1)
        for column in range(2 * margin + 1)
        if np.array_equal(padded[row : row + height, column : column + width], result)
    ]


def test_a_shift_moves_each_image_whole_with_zeros_at_the_border(images):
    shifted = np.asarray(augment(images, key(0, "augment"), Augmentation(shift=1)))
    assert shifted.dtype == np.uint8
    found = [shifts_of(image, result, 1) for image, result in zip(images, shifted, strict=True)]
    assert all(len(matches) == 1 for matches in found)
    # 64 images over nine shifts: every shift occurs, also none at all and both extremes.
    assert len({matches[0] for matches in found}) == 9


def test_the_same_key_shifts_alike_and_another_key_does_not(images):
    augmentation = Augmentation(shift=2)
    first = augment(images, key(0, "augment"), augmentation)
    np.testing.assert_array_equal(first, augment(images, key(0, "augment"), augmentation))
    assert not np.array_equal(first, augment(images, key(1, "augment"), augmentation))


def test_augmentation_compiles_to_what_it_computes_without_a_compiler(images):
    augmentation = Augmentation(shift=2)
    compiled = jax.jit(augment, static_argnums=2)(images, key(0, "augment"), augmentation)
    np.testing.assert_array_equal(compiled, augment(images, key(0, "augment"), augmentation))


def test_images_decide_the_size_of_a_model_and_fit_that_size_alone():
    preprocessing = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
    assert preprocessing.sizes() == {"image_size": 8}
    assert preprocessing.misfit(ViTSpec(image_size=8, patch_size=4)) == ""
    assert preprocessing.misfit(ViTSpec()) == "the model takes images of 224 pixels, the data has 8"


def test_a_model_applies_its_own_mean_to_other_images():
    own, other = (Preprocessing(8, (mean,) * 3, (0.5,) * 3) for mean in (0.25, 0.5))
    assert own.on(other) == own


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 0}, "image_size = 0 is no number of pixels; give 1 or more"),
        ({"image_size": 8.0}, "image_size = 8.0 is no number of pixels"),
        ({"resize_to": -1}, "resize_to = -1 is no number of pixels; give 0 or more"),
        ({"resize_to": 7}, "resize_to = 7 leaves fewer than image_size = 8 pixels; give at least 8, or 0"),
        ({"mean": (0.5, 0.5)}, "mean = (0.5, 0.5) is not three finite numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "is not three finite numbers"),
        ({"mean": (0, 0, 10**400)}, "is not three finite numbers"),
        ({"mean": 0.5}, "mean = 0.5 is not three finite numbers"),
        ({"std": (1, "1", 1)}, "is not three finite numbers; give one for each of red, green, blue"),
        ({"std": (1, 0, 1)}, "std = [1.0, 0.0, 1.0] is not above 0"),
        ({"resample": "bicubik"}, "unknown resample 'bicubik'; did you mean 'bicubic'?; use one of"),
    ],
)
def test_what_no_image_can_go_through_is_refused(fields, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Preprocessing(**{"image_size": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3, **fields})


def test_preprocessing_comes_back_from_json_as_the_same_key():
    own = Preprocessing(8, (0, 0.25, 0.5), (1, 0.5, 0.25), "bicubic", 9, keep_aspect=False)
    again = Preprocessing(**json.loads(json.dumps(dataclasses.asdict(own))))
    assert again == own
    assert hash(again) == hash(own)


def test_a_manifest_from_before_resampling_still_describes_its_images():
    old = Preprocessing(**{"image_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3})
    assert (old.resample, old.resize_to, old.keep_aspect) == ("bilinear", 0, True)


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({"image_size": 384}, (384, 439)),  # 256 of 224 pixels at the other size: 438.86
        ({"image_size": 112}, (112, 128)),
        ({"image_size": 384, "resize_to": 400}, (384, 400)),
        ({"image_size": 384, "resize_to": 0}, (384, 0)),
        ({"resample": "bicubic"}, (224, 256)),
    ],
)
def test_another_image_size_cuts_out_the_same_share(fields, sizes):
    changed = Preprocessing(224, (0.5,) * 3, (0.5,) * 3, resize_to=256).changed(**fields)
    assert (changed.image_size, changed.resize_to) == sizes
    assert changed.resample == fields.get("resample", "bilinear")


def test_a_square_resize_stays_one_at_another_size():
    changed = Preprocessing(224, (0.5,) * 3, (0.5,) * 3, resize_to=256, keep_aspect=False).changed(image_size=112)
    assert (changed.resize_to, changed.keep_aspect) == (128, False)


def test_a_changed_value_is_checked():
    with pytest.raises(InputError, match="unknown resample"):
        Preprocessing(8, (0.5,) * 3, (0.5,) * 3).changed(resample="cubic")
    with pytest.raises(InputError, match="no number of pixels"):
        Preprocessing(8, (0.5,) * 3, (0.5,) * 3, resize_to=9).changed(image_size="big")
