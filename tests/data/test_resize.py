"""From pictures of any size to the pixels of a model, against transformers' own image processors."""

import json
import pathlib

import numpy as np
import PIL.Image
import pytest

from tlj.data.images import RESAMPLING, Preprocessing, normalise
from tlj.data.resize import resize_image, resized_edges
from tlj.pretrained.formats.preprocessing_files import read_image_preprocessing

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden/preprocessing.npz")
CASES = json.loads(str(GOLDEN["cases"]))
NAMES = sorted({key.rpartition("/")[0] for key in GOLDEN.files} - {"image", ""})
IMAGES = [GOLDEN[key] for key in sorted(key for key in GOLDEN.files if key.startswith("image/"))]


def of_size(image_size, **fields):
    return Preprocessing(image_size, (0.5,) * 3, (0.5,) * 3, **fields)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_of_transformers(name, tmp_path):
    family, case = name.split("/")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CASES[case]))
    preprocessing, _ = read_image_preprocessing(tmp_path, family)
    for i, image in enumerate(IMAGES):
        resized = resize_image(PIL.Image.fromarray(image), preprocessing)
        assert resized.shape == (preprocessing.image_size,) * 2 + (3,)
        step = 37 if preprocessing.image_size > 64 else 1
        found = np.asarray(normalise(resized[None], preprocessing))[0, ::step, ::step]
        expected = GOLDEN[f"{name}/{i}"]
        # Without rescaling pixels are up to 255, and float32 has seven digits.
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_every_golden_case_is_compared():
    assert {name.split("/")[1] for name in NAMES} == set(CASES)
    assert len(CASES) >= 17


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_are_converted_to_rgb_first(mode):
    image = PIL.Image.fromarray(IMAGES[0]).convert(mode)
    expected = resize_image(image.convert("RGB"), of_size(16))
    np.testing.assert_array_equal(resize_image(image, of_size(16)), expected)
    assert expected.dtype == np.uint8


def test_an_image_of_the_right_size_is_not_changed():
    for preprocessing in (of_size(20), of_size(20, resize_to=20)):
        np.testing.assert_array_equal(resize_image(PIL.Image.fromarray(IMAGES[1]), preprocessing), IMAGES[1])


@pytest.mark.parametrize(
    ("fields", "edges"),
    [
        ({}, (16, 16)),
        ({"resize_to": 18}, (25, 18)),  # 53 of 37, to 18: 25.78, rounded down
        ({"resize_to": 18, "keep_aspect": False}, (18, 18)),
    ],
)
def test_the_shorter_edge_decides_where_the_shape_is_kept(fields, edges):
    assert resized_edges((53, 37), of_size(16, **fields)) == edges


def test_an_image_that_was_scaled_down_before_is_resized_as_the_whole_would_be():
    whole, scaled = (53, 37), PIL.Image.fromarray(IMAGES[0]).resize((34, 24))
    preprocessing = of_size(16, resize_to=19)
    assert resized_edges(whole, preprocessing) == (27, 19)
    assert resized_edges(scaled.size, preprocessing) == (26, 19)
    expected = np.asarray(scaled.resize((27, 19), PIL.Image.Resampling.BILINEAR))[1:17, 5:21]
    np.testing.assert_array_equal(resize_image(scaled, preprocessing, whole), expected)


def test_of_a_box_in_an_image_nothing_around_it_is_seen():
    image, box = PIL.Image.fromarray(IMAGES[0]).resize((34, 24)), (1.0, 0.5, 33.5, 22.5)
    expected = np.asarray(image.resize((16, 16), PIL.Image.Resampling.BILINEAR, box))
    np.testing.assert_array_equal(resize_image(image, of_size(16), box=box), expected)


def test_what_is_cut_out_is_the_middle():
    ramp = np.broadcast_to(np.arange(31, dtype=np.uint8)[None, :, None], (10, 31, 3))
    cut = resize_image(PIL.Image.fromarray(ramp.copy()), of_size(10, resize_to=10))
    np.testing.assert_array_equal(cut[0, :, 0], np.arange(10, 20))  # 21 are cut away: 10 before, 11 behind


def test_each_filter_gives_other_pixels():
    image = PIL.Image.fromarray(IMAGES[0])
    found = {resize_image(image, of_size(16, resample=name)).tobytes() for name in RESAMPLING}
    assert len(found) == len(RESAMPLING)
