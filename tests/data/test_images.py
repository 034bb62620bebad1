"""What a model expects of its images, and what is done to them."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tlj.data.images import Augmentation, Preprocessing, normalise
from tlj.errors import InputError
from tlj.models.vit import ViTSpec


def test_normalise_scales_bytes_and_standardises_each_channel():
    images = np.array([[[[0, 255, 51]]]], np.uint8)
    preprocessing = Preprocessing(image_size=1, mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 2.0))
    result = normalise(images, preprocessing)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, 0, 0], [-1.0, 3.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("whole", [np.uint8, np.float32])
def test_bytes_and_floats_of_the_same_value_are_the_same_to_a_model(whole):
    images = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    preprocessing = Preprocessing(image_size=4, mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 2.0))
    np.testing.assert_array_equal(normalise(images.astype(whole), preprocessing), normalise(images, preprocessing))


@pytest.mark.parametrize(
    ("augmentation", "pixels"),
    [
        (Augmentation(), 0),
        (Augmentation(crop_from=300), 0),
        (Augmentation(crop=0.1), 256),
        (Augmentation(crop=0.1, crop_from=300), 300),
    ],
)
def test_a_crop_is_cut_from_a_somewhat_larger_square(augmentation, pixels):
    assert augmentation.squashed(224) == pixels


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
