"""The layout of transformers, against what its own classes saved."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import tlj
from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.pretrained.export.export import export
from tlj.pretrained.export.huggingface import huggingface_files

# Saved by the class that the export is for, whole: an export has the same arrays, no more and no fewer.
WHOLE = (
    *("vit_gelu", "vit_gelu_new", "vit_gelu_pytorch_tanh", "vit_relu"),
    *("resnet_basic", "resnet_bottleneck", "resnet_first_convolution_strides", "resnet_headless"),
    *("resnet_first_stage_downsamples", "resnet_basic_first_stage_downsamples"),
    *("bert_gelu", "bert_gelu_new", "bert_relu", "bert_three_types", "bert_headless"),
)
OTHERS = ("vit_bfloat16", "vit_sharded", "vit_flax", "resnet_flax_basic", "resnet_flax_bottleneck", "bert_flax")
NPZ = ("npz_augreg.npz", "npz_big_vision_tok.npz", "npz_target.npz")


@pytest.mark.parametrize("name", WHOLE)
def test_the_arrays_are_those_that_transformers_saved(name, golden, load_golden, tmp_path):
    export(load_golden(name), tmp_path / "out")
    found, expected = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", golden(name)))
    assert {key: (array.shape, array.dtype) for key, array in found.items()} == {
        key: (array.shape, array.dtype) for key, array in expected.items()
    }
    for key, array in found.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(array, expected[key])


@pytest.mark.parametrize("name", WHOLE)
def test_the_settings_are_those_that_transformers_saved(name, golden, load_golden, tmp_path):
    export(load_golden(name), tmp_path / "out")
    found, expected = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "out", golden(name)))
    # Two of transformers' names for one formula.
    expected["hidden_act"] = {"gelu_new": "gelu_pytorch_tanh"}.get(expected["hidden_act"], expected["hidden_act"])
    shared = set(found) & set(expected)
    assert {key: found[key] for key in shared} == {key: expected[key] for key in shared}
    # The rest are settings that transformers leaves out because they are its defaults.
    assert set(found) - shared <= {"torch_dtype", "num_channels", "pooler_act", "pooler_output_size"}


@pytest.mark.parametrize("name", [*WHOLE, *OTHERS, *NPZ, "resnet_basic_gelu", "torchvision_basic", "timm_resnet50"])
def test_loading_what_was_exported_gives_the_same_bits(name, load_golden, is_same, tmp_path):
    model = load_golden(name)
    export(model, tmp_path / "out")
    is_same(tmp_path / "out", model)


def test_a_run_comes_back_with_what_only_training_reads(vit_run, is_same, tmp_path):
    model = tlj.load(vit_run)
    assert (model.spec.mlp_width, model.spec.mlp_dropout) == (0, True)
    export(model, tmp_path / "out")
    is_same(tmp_path / "out", model)


@pytest.mark.parametrize("name", ["vit_headless", "vit_headless_without_pooler", "vit_flax_headless"])
def test_a_model_without_a_head_gives_the_same_features_again(name, load_golden, is_same, tmp_path):
    model = load_golden(name)
    export(model, tmp_path / "out")
    again = is_same(tmp_path / "out", model)
    images = np.random.default_rng(0).normal(size=(2, *model.spec.input_shape))
    np.testing.assert_array_equal(again(images), model(images))


def test_a_pooler_that_is_the_output_comes_back_as_the_output(load_golden, is_same, tmp_path):
    model = load_golden("vit_headless", pool="pooler")
    export(model, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["ViTModel"]
    assert is_same(tmp_path / "out", model).spec.pool == "pooler"


def test_the_tokenizer_travels_to_the_last_byte(load_golden, is_same, tmp_path):
    model = load_golden("bert_gelu")
    export(model, tmp_path / "out")
    assert model.files
    for name, file in model.files.items():
        assert (tmp_path / "out" / name).read_bytes() == file.read_bytes()
    assert is_same(tmp_path / "out", model).tokenizer("a")["input_ids"] == model.tokenizer("a")["input_ids"]


def test_a_tokenizer_that_was_changed_since_the_load_is_not_passed_on(load_golden, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    model = dataclasses.replace(load_golden("bert_gelu"), files={"vocab.txt": tmp_path / "vocab.txt"})
    with pytest.raises(InputError, match="those of the model have"):
        huggingface_files(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"resize_to": 20, "resample": "bicubic"},
        {"resize_to": 19, "keep_aspect": False},
        {"mean": (0.1, 1 / 3, 0.7), "std": (0.2, 0.123456789, 1.0), "resample": "lanczos"},
    ],
)
@pytest.mark.parametrize("name", ["vit_gelu", "resnet_basic"])
def test_preprocessing_comes_back_exactly(name, changes, load_golden, is_same, tmp_path):
    model = load_golden(name)
    told = {"image_size": model.spec.image_size, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    if "resize_to" in changes:
        changes = {**changes, "resize_to": changes["resize_to"] + model.spec.image_size - 16}
    model = dataclasses.replace(model, preprocessing=Preprocessing(**{**told, **changes}))
    export(model, tmp_path / "out")
    is_same(tmp_path / "out", model)


def test_text_that_was_shorter_than_the_model_s_positions_comes_back_as_short(load_golden, is_same, tmp_path):
    model = load_golden("bert_gelu_new")
    model = dataclasses.replace(model, preprocessing=dataclasses.replace(model.preprocessing, length=7, vocabulary=40))
    export(model, tmp_path / "out")
    assert is_same(tmp_path / "out", model).preprocessing.length == 7


def test_classes_that_nobody_named_stay_without_names(load_golden, is_same, tmp_path):
    model = dataclasses.replace(load_golden("vit_gelu"), classes=())
    export(model, tmp_path / "out")
    is_same(tmp_path / "out", model)


def test_the_file_says_that_it_is_of_torch(load_golden, tmp_path):
    export(load_golden("vit_gelu"), tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize(
    ("name", "overrides", "named"),
    [
        ("vit_gelu", {"pool": "mean"}, "pool = 'mean'"),
        ("npz_big_vision_gap.npz", {}, "class_token = False"),
        ("bert_gelu", {"pool": "first"}, "pool = 'first'"),
        ("cifar_padded", {}, "shortcut = 'padding'"),
    ],
)
def test_what_transformers_cannot_compute_is_refused_and_nothing_written(name, overrides, named, load_golden, tmp_path):
    with pytest.raises(InputError, match="--format=stablehlo") as error:
        export(load_golden(name, **overrides), tmp_path / "out")
    assert named in str(error.value)
    assert list(tmp_path.iterdir()) == []
