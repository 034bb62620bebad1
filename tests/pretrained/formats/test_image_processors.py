"""What the settings of transformers' image processors mean, and which of them are refused."""

import re

import pytest

from tlj.errors import InputError
from tlj.pretrained.formats.image_processors import PROCESSORS, preprocessing_of, processor_name

THREE = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 3}


def read(name, **settings):
    return preprocessing_of({**THREE, **settings}, f"{name}ImageProcessor", "FILE")[0]


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({"image_processor_type": "ViTImageProcessor"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessorFast"}, "ViTImageProcessor"),
        ({"image_processor_type": "BitImageProcessorPil"}, "BitImageProcessor"),
        ({"feature_extractor_type": "ConvNextFeatureExtractor"}, "ConvNextImageProcessor"),
        (
            {"feature_extractor_type": "ViTFeatureExtractor", "image_processor_type": "DeiTImageProcessor"},
            "DeiTImageProcessor",
        ),
        ({}, "ViTImageProcessor"),
    ],
)
def test_a_class_is_known_under_all_the_names_it_had(named, name):
    assert processor_name(named, "vit", "FILE") == name


def test_a_file_without_a_class_is_read_as_the_family_reads_it():
    assert processor_name({"size": 224}, "resnet", "FILE") == "ConvNextImageProcessor"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"image_processor_type": "VitImageProcessor"},
            "FILE: unknown image_processor_type 'VitImageProcessor'; did you mean 'ViTImageProcessor'?",
        ),
        ({"feature_extractor_type": "PerceiverFeatureExtractor"}, "unknown feature_extractor_type 'Perceiver"),
        ({"auto_map": {"AutoImageProcessor": "code.Mine"}}, "code that comes with the checkpoint, which is not run"),
    ],
)
def test_a_class_that_is_not_followed_is_refused_by_name(settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        processor_name(settings, "vit", "FILE")


@pytest.mark.parametrize(
    ("name", "settings", "sizes"),
    [
        ("ViT", {"size": 32}, (32, 0, True)),
        ("ViT", {"size": {"height": 32, "width": 32}, "crop_size": 24, "do_center_crop": False}, (32, 0, True)),
        ("DeiT", {"size": 40, "crop_size": 32}, (32, 40, False)),
        ("DeiT", {"size": {"shortest_edge": 40}, "crop_size": 32}, (32, 40, True)),
        ("DeiT", {"size": 32, "crop_size": {"height": 32, "width": 32}}, (32, 0, True)),
        ("DeiT", {"size": 32, "do_center_crop": False}, (32, 0, True)),
        ("Bit", {"size": 40, "crop_size": 32}, (32, 40, True)),
        ("CLIP", {"size": {"shortest_edge": 32}, "crop_size": 32}, (32, 32, True)),
        ("ConvNext", {"size": 224}, (224, 256, True)),
        ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.95}, (224, 235, True)),
        ("ConvNext", {"size": {"shortest_edge": 383}, "crop_pct": 1}, (383, 383, True)),
        ("ConvNext", {"size": {"shortest_edge": 384}, "crop_pct": 0.95}, (384, 0, True)),
    ],
)
def test_sizes_mean_what_they_mean_to_each_class(name, settings, sizes):
    found = read(name, **settings)
    assert (found.image_size, found.resize_to, found.keep_aspect) == sizes


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({}, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ({"rescale_factor": 1 / 255}, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ({"rescale_factor": 2 / 255}, (0.05, 0.1, 0.15), (0.2, 0.25, 0.3)),
        ({"do_rescale": False}, (0.1 / 255, 0.2 / 255, 0.3 / 255), (0.4 / 255, 0.5 / 255, 0.6 / 255)),
        ({"do_normalize": False}, (0, 0, 0), (1, 1, 1)),
        ({"do_normalize": False, "do_rescale": False}, (0, 0, 0), (1 / 255,) * 3),
        ({"image_mean": 0.5, "image_std": 0.25}, (0.5,) * 3, (0.25,) * 3),
    ],
)
def test_rescaling_is_folded_into_the_mean_and_the_standard_deviation(settings, mean, std):
    found = read("ViT", **settings)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.std == pytest.approx(std, rel=1e-12)


def test_the_usual_rescaling_leaves_the_numbers_of_the_file_as_they_are():
    assert read("ViT", rescale_factor=0.00392156862745098).mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ViT", {"size": {"height": 32, "width": 48}}, "FILE: size = {'height': 32, 'width': 48} is not a square"),
        ("ViT", {"size": {"shortest_edge": 32}}, "size = {'shortest_edge': 32} and no central crop gives images that"),
        ("ViT", {"size": {"shortest_edge": 32, "longest_edge": 64}}, "size ="),
        ("ViT", {"size": 0}, "size = 0 is not"),
        ("ViT", {"size": "224"}, "size = '224' is not"),
        ("ViT", {"do_resize": False}, "do_resize = False leaves images at their own size"),
        ("ViT", {"do_resize": None}, "do_resize = None is neither true nor false"),
        ("ViT", {"do_normalize": "yes"}, "do_normalize = 'yes' is neither true nor false"),
        (
            "ViT",
            {"do_center_crop": True, "crop_size": 24},
            "do_center_crop = True is a setting that tlj does not follow",
        ),
        ("ViT", {"do_pad": True}, "do_pad = True is a setting that tlj does not follow for ViTImageProcessor"),
        ("ViT", {"do_flip_channel_order": True}, "do_flip_channel_order = True"),
        ("ViT", {"offset": True}, "offset = True"),
        ("ViT", {"crop_pct": 0.9}, "crop_pct = 0.9"),
        ("ViT", {"do_convert_rgb": False}, "do_convert_rgb = False keeps images that are not RGB; set it to true"),
        ("ViT", {"resample": 6}, "resample = 6 is none of Pillow's filters; use one of 0 (nearest), 1 (lanczos)"),
        ("ViT", {"resample": True}, "resample = True is none"),
        ("ViT", {"rescale_factor": 0}, "rescale_factor = 0 is not a number above 0"),
        ("ViT", {"rescale_factor": 10**400}, "is not a number above 0"),
        ("ViT", {"image_mean": [0, 0, 10**400]}, "is not a finite number for each"),
        ("ViT", {"image_mean": [0.5]}, "image_mean = [0.5] is not a finite number for each"),
        ("ViT", {"image_std": [0.5, 0.5, float("inf")]}, "image_std ="),
        ("ViT", {"image_std": [0.5, 0.0, 0.5]}, "FILE: std = [0.5, 0.0, 0.5] is not above 0"),
        ("DeiT", {"size": 24, "crop_size": 32}, "FILE: resize_to = 24 leaves fewer than image_size = 32 pixels"),
        ("DeiT", {"size": 32, "crop_size": {"height": 16, "width": 8}}, "crop_size ="),
        ("Bit", {"size": 32, "crop_size": 32, "do_center_crop": None}, "do_center_crop = None is neither true nor"),
        ("ConvNext", {"size": {"height": 32, "width": 32}}, "size = {'height': 32, 'width': 32} is not what ConvNext"),
        ("ConvNext", {"size": 32, "crop_pct": 1.1}, "crop_pct = 1.1 is above 1"),
        ("ConvNext", {"size": 32, "do_center_crop": True}, "do_center_crop = True"),
    ],
)
def test_a_setting_that_is_not_followed_is_refused_by_name(name, settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(name, **settings)


@pytest.mark.parametrize("name", ["do_pad", "do_center_crop", "crop_size", "pad_size", "do_flip_channel_order"])
def test_a_setting_that_is_off_needs_nobody_to_follow_it(name):
    assert read("ViT", size=32, **{name: None}) == read("ViT", size=32)


def test_what_had_to_be_assumed_is_named():
    assert preprocessing_of(THREE, "ConvNextImageProcessor", "")[1] == ["size"]
    assert preprocessing_of({"size": 32}, "ConvNextImageProcessor", "")[1] == [
        "image_mean",
        "image_std",
        "resample",
        "crop_pct",
    ]
    assert preprocessing_of({**THREE, "size": 32}, "ViTImageProcessor", "")[1] == []


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_class_reads_no_settings_at_all_as_its_defaults(name):
    found, assumed = preprocessing_of({}, name, "FILE")
    assert (found.mean, found.resample) == (PROCESSORS[name].mean, PROCESSORS[name].resample)
    assert {"size", "resample", "image_mean", "image_std"} <= set(assumed)
