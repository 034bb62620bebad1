"""The preprocessing of images in a checkpoint's files, in both directions."""

import dataclasses
import json
import re

import numpy as np
import PIL.Image
import pytest

from tlj.data.images import Preprocessing, normalise
from tlj.data.resize import resize_image
from tlj.errors import InputError
from tlj.pretrained.formats.preprocessing_files import (
    preprocessor_config,
    read_image_preprocessing,
    timm_preprocessing,
)

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
TIMM = {"input_size": [3, 224, 224], "crop_pct": 0.9, "crop_mode": "center", "interpolation": "bicubic", **IMAGENET}


def written(directory, content):
    (directory / "preprocessor_config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return directory


@pytest.mark.parametrize(
    ("family", "expected", "name"),
    [
        ("vit", Preprocessing(224, (0.5,) * 3, (0.5,) * 3), "ViTImageProcessor"),
        ("resnet", Preprocessing(384, (0.5,) * 3, (0.5,) * 3), "ConvNextImageProcessor"),
    ],
)
def test_without_a_file_the_family_has_its_defaults_and_a_note_says_so(tmp_path, family, expected, name):
    found, note = read_image_preprocessing(tmp_path, family)
    assert found == expected
    assert note == f"no preprocessor_config.json: the images are taken as {name} takes them by default"


def test_a_file_that_tells_all_needs_no_note(tmp_path):
    settings = {"size": 224, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    assert read_image_preprocessing(written(tmp_path, settings), "vit") == (
        Preprocessing(224, (0.5,) * 3, (0.5,) * 3),
        "",
    )


def test_a_file_that_tells_less_needs_one(tmp_path):
    settings = {"size": 224, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    _, note = read_image_preprocessing(written(tmp_path, settings), "resnet")
    assert note == (
        "preprocessor_config.json does not tell resample, crop_pct: taken as ConvNextImageProcessor does by default"
    )


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "\ud800".encode("utf-16", "surrogatepass"), "[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused_by_name(tmp_path, content):
    path = tmp_path / "preprocessor_config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=re.escape(f"{path}: ")):
        read_image_preprocessing(tmp_path, "vit")


def cases():
    changes = {
        "both_edges": {},
        "crop": {"resize_to": 36},
        "crop_nothing": {"resize_to": 32},
        "squash_and_crop": {"resize_to": 41, "keep_aspect": False},
        "lanczos": {"resample": "lanczos", "resize_to": 35},
        "large_crop": {"image_size": 384, "resize_to": 439},
        "large": {"image_size": 384},
    }
    own = Preprocessing(32, **IMAGENET, resample="bicubic")
    return [
        pytest.param(own.changed(**fields), family, id=f"{family}-{name}")
        for name, fields in changes.items()
        for family in ("vit", "resnet")
    ]


@pytest.mark.parametrize(("preprocessing", "family"), cases())
def test_what_is_written_is_read_back_whole(tmp_path, preprocessing, family):
    written(tmp_path, preprocessor_config(preprocessing, family))
    assert read_image_preprocessing(tmp_path, family) == (preprocessing, "")


@pytest.mark.parametrize("size", range(200, 230))
def test_the_share_that_a_convnext_keeps_gives_back_every_length(tmp_path, size):
    for resize_to in range(size, size + 60):
        preprocessing = Preprocessing(size, **IMAGENET, resize_to=resize_to)
        share = preprocessor_config(preprocessing, "resnet")["crop_pct"]
        assert int(size / share) == resize_to
        assert share <= 1


@pytest.mark.parametrize(("preprocessing", "family"), cases())
def test_transformers_gives_the_same_pixels_by_what_is_written(tmp_path, preprocessing, family):
    from transformers import AutoImageProcessor

    random = np.random.default_rng(0)
    images = [PIL.Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)) for size in ((50, 71), (45, 33))]
    written(tmp_path, preprocessor_config(preprocessing, family))
    processor = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    for image in images:
        theirs = processor(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        ours = normalise(resize_image(image, preprocessing)[None], preprocessing)[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"resize_to": 248}),
        ({"crop_pct": 0.95, "crop_mode": None}, {"resize_to": 235}),
        ({"crop_pct": 1.0, "interpolation": "bilinear"}, {"resize_to": 224, "resample": "bilinear"}),
        ({"crop_mode": "squash"}, {"resize_to": 248, "keep_aspect": False}),
        ({"crop_mode": "squash", "crop_pct": 1}, {"resize_to": 0}),
    ],
)
def test_timm_says_what_it_does_when_it_evaluates(changes, expected):
    wanted = {"resample": "bicubic", **IMAGENET, **expected}
    assert dataclasses.asdict(timm_preprocessing({**TIMM, **changes})) == dataclasses.asdict(
        Preprocessing(224, **wanted)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": None}, "pretrained_cfg of config.json: mean is missing"),
        ({"crop_pct": None}, "crop_pct is missing"),
        ({"crop_mode": "border"}, "unknown crop_mode 'border'"),
        ({"interpolation": "random"}, "unknown interpolation 'random'"),
        ({"interpolation": ["bicubic"]}, "unknown interpolation"),
        ({"input_size": [1, 28, 28]}, "input_size = [1, 28, 28] is not 3 channels of a square"),
        ({"input_size": [3, 224, 160]}, "input_size ="),
        ({"crop_pct": 0}, "crop_pct = 0 is not a share"),
        ({"crop_pct": 1.2}, "crop_pct = 1.2 is not a share"),
        ({"std": [0, 0, 0]}, "std = [0.0, 0.0, 0.0] is not above 0"),
    ],
)
def test_a_setting_of_timm_that_is_not_followed_is_refused_by_name(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        timm_preprocessing({**TIMM, **changes})
