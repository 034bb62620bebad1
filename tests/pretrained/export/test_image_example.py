"""The example of a program's use on images: it resizes as tlj does."""

import dataclasses

import numpy as np
import PIL.Image
import pytest

from tlj.data.images import Preprocessing
from tlj.data.resize import resize_image
from tlj.pretrained.export import image_example

PLAIN = Preprocessing(image_size=16, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resample": "lanczos"},
        {"resize_to": 19},
        {"resize_to": 20, "keep_aspect": False, "resample": "bicubic"},
    ],
)
@pytest.mark.parametrize("shape", [(37, 23, 3), (16, 16, 3), (9, 50, 4), (12, 13)])
def test_pixels_are_those_that_the_model_was_made_with(changes, shape, tmp_path, monkeypatch):
    told = dataclasses.replace(PLAIN, **changes)
    monkeypatch.setattr(image_example, "model", lambda: {"preprocessing": dataclasses.asdict(told)})
    image = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    image.save(tmp_path / "image.png")
    np.testing.assert_array_equal(image_example.pixels(tmp_path / "image.png"), resize_image(image, told))


def test_classes_without_names_are_numbered(monkeypatch):
    monkeypatch.setattr(image_example, "model", lambda: {"num_classes": 2, "classes": []})
    assert image_example.described(np.array([0.0, np.log(3)], np.float32)) == "class 1 75.0%, class 0 25.0%"
