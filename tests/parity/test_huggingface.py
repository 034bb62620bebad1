"""Checkpoints of transformers' own classes give the logits and hidden states of these classes."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from flax import serialization, traverse_util
from safetensors import safe_open

from tlj.models.registry import build

FOLDER = pathlib.Path(__file__).parents[1] / "golden" / "checkpoints"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/config.json") if path.parent.name.split("_")[0] != "timm")
# The class that was saved has no pooler, which is what a BERT pools with unless it is told otherwise.
OVERRIDES = {"bert_masked_lm": {"pool": "first"}, "bert_token_classification": {"pool": "first"}}


def config_of(name):
    return json.loads((FOLDER / name / "config.json").read_text())


def stored_names(folder):
    """The names of all arrays in the weights of a directory."""
    if (folder / "flax_model.msgpack").is_file():
        tree = serialization.msgpack_restore((folder / "flax_model.msgpack").read_bytes())
        return list(traverse_util.flatten_dict(tree, sep="/"))
    names = []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "numpy") as opened:
            names += opened.keys()
    return names


@pytest.fixture(params=NAMES)
def checkpoint(request, golden, loaded):
    """A golden checkpoint and its model."""
    return golden(request.param), loaded(request.param, **OVERRIDES.get(request.param, {}))


def test_the_output_is_that_of_the_class_that_was_saved(checkpoint, difference, tolerance):
    golden, model = checkpoint
    output = model(golden.inputs)
    if "logits" in golden.reference:
        assert model.spec.num_classes == 3
        assert model.classes == ("ant", "bee", "cat")
        assert difference(output, golden.reference["logits"]) <= tolerance
    elif type(model.spec).__name__ == "ViTSpec":
        # Unlike its classifier, the class without a head also applies a pooler.
        assert difference(output, golden.hidden["norm"][:, 0]) <= tolerance
    elif "pooled" in golden.reference:
        assert difference(output, golden.reference["pooled"]) <= tolerance
    else:
        assert difference(output, golden.hidden["block1"][:, 0]) <= tolerance


def test_every_hidden_state_is_that_of_the_class_that_was_saved(checkpoint, assert_hidden_states_agree):
    golden, model = checkpoint
    assert_hidden_states_agree(model, golden)


def test_the_report_accounts_for_every_array(checkpoint, assert_report_accounts_for):
    golden, model = checkpoint
    assert_report_accounts_for(model, stored_names(golden.path))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vit") and name.endswith("headless")])
def test_a_vit_may_use_the_pooler_that_came_with_it(name, golden, loaded, difference, tolerance):
    model = loaded(name, pool="pooler")
    assert difference(model(golden(name).inputs), golden(name).reference["pooled"]) <= tolerance


@pytest.mark.parametrize("name", ["bert_gelu", "bert_relu", "bert_pretraining"])
def test_without_a_mask_every_token_is_real_as_in_transformers(name, golden, loaded, difference, tolerance):
    reference = golden(name).reference
    ids = {"input_ids": reference["input_ids"]}
    states = loaded(name).hidden_states(ids)
    assert difference(states["block1"], reference["unmasked/hidden/block1"]) <= tolerance
    # Padding that counts as tokens is seen by the real ones.
    first = np.asarray(states["block1"])[:, 0]
    assert np.abs(first - golden(name).hidden["block1"][:, 0]).max() > 1e-2


def test_the_mean_is_over_real_tokens(golden, loaded, difference, tolerance):
    checkpoint = golden("bert_headless")
    model = loaded("bert_headless", pool="mean")
    mask = checkpoint.reference["attention_mask"][..., None]
    expected = (checkpoint.hidden["block1"] * mask).sum(axis=1) / mask.sum(axis=1)
    assert difference(model(checkpoint.inputs), expected.astype(np.float32)) <= tolerance


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vit_gelu", {"activation": "gelu_tanh"}),
        ("vit_gelu_new", {"activation": "gelu"}),
        ("vit_gelu", {"epsilon": 1e-5}),
        ("bert_gelu_pytorch_tanh", {"activation": "gelu"}),
        ("bert_gelu", {"epsilon": 1e-5}),
        ("bert_three_types", {"heads": 2}),
        ("resnet_basic_gelu", {"activation": "gelu_tanh"}),
        ("resnet_bottleneck", {"epsilon": 1e-6}),
        ("resnet_first_convolution_strides", {"bottleneck_stride": "second"}),
    ],
)
def test_another_setting_than_the_checkpoints_would_be_noticed(name, change, golden, loaded, difference, tolerance):
    model = loaded(name)
    other = dataclasses.replace(model, module=build(dataclasses.replace(model.spec, **change), "float32"))
    assert difference(other(golden(name).inputs), golden(name).reference["logits"]) > 2 * tolerance


@pytest.mark.parametrize(
    ("family", "key", "values"),
    [
        ("vit", "hidden_act", {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"}),
        ("vit", "qkv_bias", {True, False}),
        ("vit", "patch_size", {2, 4, 8}),
        ("vit", "layer_norm_eps", {1e-12, 1e-6, 1e-2}),
        ("resnet", "layer_type", {"basic", "bottleneck"}),
        ("resnet", "hidden_act", {"relu", "gelu"}),
        ("resnet", "downsample_in_first_stage", {True, False}),
        ("resnet", "downsample_in_bottleneck", {True, False}),
        ("bert", "hidden_act", {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"}),
        ("bert", "layer_norm_eps", {1e-12, 1e-2}),
        ("bert", "pad_token_id", {0, 1, 2, 3}),
        ("bert", "type_vocab_size", {1, 2, 3}),
        ("bert", "max_position_embeddings", {12, 20}),
    ],
)
def test_the_goldens_cover_every_setting(family, key, values):
    assert values <= {config_of(name)[key] for name in NAMES if name.startswith(family)}


@pytest.mark.parametrize("family", ["vit", "resnet", "bert"])
@pytest.mark.parametrize("file", ["model.safetensors", "flax_model.msgpack"])
@pytest.mark.parametrize("has_head", [True, False])
def test_the_goldens_cover_both_file_formats_with_and_without_a_head(family, file, has_head):
    folders = [FOLDER / name for name in NAMES if name.startswith(family)]
    assert any((folder / file).is_file() and ("headless" not in folder.name) == has_head for folder in folders)
