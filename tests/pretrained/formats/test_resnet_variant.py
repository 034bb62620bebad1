"""What a file beside a ResNet's weights tells of it."""

import json

import pytest

from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.resnet import ResNetSpec
from tlj.pretrained.formats.resnet_variant import is_variant, read_variant, variant_json

IMAGES = {"image_size": 8, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
OWN = {"family": "resnet", "settings": {"bottleneck_stride": "first"}, "preprocessing": IMAGES, "classes": ["a", "b"]}
CFG = {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.25] * 3}
TIMM = {"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": CFG}


@pytest.fixture
def put(tmp_path):
    """Puts files into a directory, JSON from dicts, and returns it: ``put({"tlj.json": {...}})``."""

    def write(files, weights=("model.safetensors",)):
        for name, content in files.items():
            (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        for name in weights:
            (tmp_path / name).touch()
        return tmp_path

    return write


def test_our_own_file_tells_settings_preprocessing_classes_and_weights(put):
    directory = put({"tlj.json": OWN | {"weights": "b.safetensors"}}, ("a.safetensors", "b.safetensors"))
    variant = read_variant(directory)
    assert variant.weights == directory / "b.safetensors"
    assert variant.settings == {"bottleneck_stride": "first"}
    assert variant.preprocessing == Preprocessing(8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert variant.classes == ("a", "b")


def test_what_is_written_is_what_is_read(put):
    spec = ResNetSpec(num_classes=2, image_size=8, stem="cifar", block="basic", shortcut="padding", epsilon=1e-3)
    preprocessing = Preprocessing(8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic", 12)
    variant = read_variant(put({"tlj.json": variant_json(spec, preprocessing, ("a", "b"))}))
    assert (variant.preprocessing, variant.classes) == (preprocessing, ("a", "b"))
    told = {name: tuple(v) if isinstance(v, list) else v for name, v in variant.settings.items()}
    assert ResNetSpec(num_classes=2, image_size=8, **told) == spec


def test_timms_config_tells_what_timm_implements(put):
    variant = read_variant(put({"config.json": TIMM}))
    assert variant.settings == {
        "block": "bottleneck",
        "bottleneck_stride": "second",
        "shortcut": "projection",
        "stem": "imagenet",
        "num_classes": 1000,
    }
    assert (variant.preprocessing.image_size, variant.preprocessing.resize_to) == (224, 256)


@pytest.mark.parametrize(("architecture", "block"), [("resnet18", "basic"), ("resnet26", "bottleneck")])
def test_timms_numbers_of_layers_tell_the_block(put, architecture, block):
    assert read_variant(put({"config.json": TIMM | {"architecture": architecture}})).settings["block"] == block


def test_a_file_of_weights_is_read_with_what_lies_beside_it(put):
    directory = put({"tlj.json": OWN | {"weights": "a.safetensors"}}, ("a.safetensors", "b.safetensors"))
    assert read_variant(directory / "a.safetensors").classes == ("a", "b")
    assert read_variant(directory / "b.safetensors").classes == ()


@pytest.mark.parametrize(
    ("files", "weights", "expected"),
    [
        ({}, ("a.safetensors",), True),
        ({}, ("a.safetensors", "b.safetensors"), False),
        ({}, (), False),
        ({"tlj.json": OWN}, (), True),
        ({"config.json": TIMM}, ("model.safetensors",), True),
        ({"config.json": {"model_type": "resnet"}}, ("model.safetensors",), False),
        ({"config.json": "{"}, ("model.safetensors",), False),
    ],
)
def test_a_directory_is_told_from_one_in_the_hugging_face_layout(put, files, weights, expected):
    assert is_variant(put(files, weights)) == expected


def changed(**values):
    return {"tlj.json": OWN | values}


REFUSED = {
    "key": (changed(setings={}), r"unknown key setings; did you mean 'settings'"),
    "setting": (changed(settings={"bloc": 1}), r"unknown key settings.bloc; did you mean 'block'"),
    "image size": (changed(settings={"image_size": 1}), r"unknown key settings.image_size"),
    "settings": (changed(settings=[1]), r"settings = \[1\] is not an object"),
    "preprocessing": (changed(preprocessing=IMAGES | {"men": 1}), r"preprocessing.men; did you mean 'mean'"),
    "half a preprocessing": (changed(preprocessing={"mean": [0, 0, 0]}), "preprocessing lacks image_size, std"),
    "values": (changed(preprocessing=IMAGES | {"std": [0, 1, 1]}), "std"),
    "family": (changed(family="vit"), "family = 'vit', but this file describes ResNets"),
    "classes": (changed(classes=["a", 1]), "classes is not a list of names"),
    "path": (changed(weights="../model.safetensors"), r"weights = '../model.safetensors' climbs out of its directory"),
    "absolute path": (changed(weights="/etc/passwd"), "climbs out of its directory"),
    "two dots": (changed(weights=".."), "climbs out of its directory"),
    "no text": (changed(weights=3), "climbs out of its directory"),
    "absent": (changed(weights="modl.safetensors"), "is not there; did you mean 'model.safetensors'"),
    "no JSON": ({"tlj.json": "{"}, "is no JSON"),
    "deep JSON": ({"tlj.json": "[" * 100_000}, "is no JSON"),
    "no object": ({"tlj.json": "[]"}, "no JSON object"),
    "a letter more": ({"config.json": TIMM | {"architecture": "resnet50d"}}, "'resnet50d' of timm is not implemented"),
    "ResNeXt": ({"config.json": TIMM | {"architecture": "resnext50_32x4d"}}, "resnext50_32x4d"),
    "a number": ({"config.json": TIMM | {"architecture": 50}}, "architecture 50"),
    "activation": ({"config.json": TIMM | {"model_args": {"act_layer": "silu"}}}, "model_args.act_layer = 'silu'"),
    "pooling": ({"config.json": TIMM | {"model_args": {"global_pool": "max"}}}, "model_args.global_pool = 'max'"),
    "cfg": ({"config.json": TIMM | {"pretrained_cfg": [1]}}, r"pretrained_cfg = \[1\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_known_is_refused_by_name(put, case):
    files, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        read_variant(put(files))


def test_several_files_without_a_word_on_which_are_refused(put):
    with pytest.raises(InputError, match=r"2 safetensors files in the directory: a.safetensors, b.safetensors"):
        read_variant(put({"tlj.json": OWN}, ("a.safetensors", "b.safetensors")))
