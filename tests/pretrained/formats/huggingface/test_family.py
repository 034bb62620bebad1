"""What a family of transformers is: names and configs, both ways."""

import dataclasses
import json

import pytest

from tlj.errors import InputError
from tlj.models.bert import BERTSpec
from tlj.models.registry import FAMILIES as MODELS
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import leaf_shapes
from tlj.models.vit import ViTSpec
from tlj.pretrained.formats.huggingface.config import settings_of
from tlj.pretrained.formats.huggingface.families import FAMILIES
from tlj.pretrained.formats.huggingface.weights import open_weights
from tlj.pretrained.formats.name_map import entries

# Beside the tiny ones: no biases, other activations, no head, all blocks of one width.
OTHERS = (
    ViTSpec(num_classes=0, image_size=4, patch_size=2, width=6, depth=1, heads=3, qkv_bias=False, pool="pooler"),
    ViTSpec(num_classes=2, image_size=4, patch_size=2, width=6, depth=1, heads=3, activation="relu"),
    ResNetSpec(num_classes=0, stem_width=4, block="basic", stage_depths=(2,), stage_widths=(4,), first_stage_stride=2),
    ResNetSpec(num_classes=2, stem_width=4, stage_depths=(1, 1), stage_widths=(1, 1), bottleneck_stride="first"),
    BERTSpec(num_classes=0, vocabulary=7, width=4, depth=1, heads=1, positions=3, types=3, padding=2),
)


@pytest.fixture(params=range(8))
def spec(request, tiny):
    return (*tiny.specs.values(), *OTHERS)[request.param]


def family_of(spec):
    return next(family for family in FAMILIES.values() if isinstance(spec, MODELS[family.model_type].spec))


@pytest.mark.parametrize("layout", ["torch", "flax"])
def test_every_leaf_has_arrays_of_its_own(spec, layout):
    found = entries(family_of(spec).modules(spec), leaf_shapes(spec), layout)
    names = [name for entry in found for name in entry.names]
    assert [entry.path for entry in found] == list(leaf_shapes(spec))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("layout", ["torch", "flax"])
def test_a_prefix_stands_before_the_backbone_and_not_before_the_head(spec, layout):
    found = entries(family_of(spec).modules(spec, "some."), leaf_shapes(spec), layout)
    for entry in found:
        is_head = entry.path.startswith("params/head/")
        assert all(name.startswith("some." if layout == "torch" else "some/") != is_head for name in entry.names)


def test_a_config_read_again_gives_the_same_spec(spec):
    family = family_of(spec)
    config = json.loads(json.dumps(family.config(spec)))
    fields = family.fields(settings_of(family, config, ""), "torch")
    written = dataclasses.replace(spec, **fields)
    same = (
        {"mlp_width": getattr(spec, "mlp_width", 0) or 4 * getattr(spec, "width", 0)} if "mlp_width" in fields else {}
    )
    expected = dataclasses.replace(spec, **same)
    if isinstance(spec, ViTSpec):
        # transformers has no dropout inside the MLP, and its class without a head is told from its arrays.
        expected = dataclasses.replace(expected, mlp_dropout=False, pool=fields["pool"])
    assert written == expected


def test_a_config_names_the_classes_in_both_directions(tiny):
    config = FAMILIES["vit"].config(tiny.specs["vit"], ("ant", "bee", "cat"))
    assert config["id2label"] == {"0": "ant", "1": "bee", "2": "cat"}
    assert config["label2id"] == {"ant": 0, "bee": 1, "cat": 2}


def test_classes_that_nobody_names_are_counted(tiny):
    config = FAMILIES["vit"].config(tiny.specs["vit"])
    assert config["num_labels"] == 3
    assert "id2label" not in config


def test_another_number_of_names_than_classes_is_refused(tiny):
    with pytest.raises(InputError, match="2 names of classes for 3 classes"):
        FAMILIES["bert"].config(tiny.specs["bert"], ("a", "b"))


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("vit", {"pool": "mean"}, "pool = 'mean'"),
        ("vit", {"pool": "pooler"}, "pool = 'pooler'"),
        ("vit", {"pool": "mean", "class_token": False}, "class_token = False, pool = 'mean'"),
        ("vit", {"pool": "mean", "num_classes": 0}, "pool = 'mean'"),
        ("resnet", {"stem": "cifar"}, "stem = 'cifar'"),
        ("resnet", {"epsilon": 1e-3}, "epsilon = 0.001"),
        ("resnet", {"stage_widths": (4, 8), "shortcut": "padding"}, "shortcut = 'padding'"),
        ("bert", {"pool": "first"}, "pool = 'first'"),
        ("bert", {"pool": "mean", "num_classes": 0}, "pool = 'mean'"),
    ],
)
def test_what_transformers_cannot_compute_is_named_with_another_format(tiny, kind, changes, named):
    spec = dataclasses.replace(tiny.specs[kind], **changes)
    with pytest.raises(InputError) as error:
        FAMILIES[kind].config(spec)
    message = str(error.value)
    assert f"has no {named}" in message
    assert ("--format=torch" in message) == (kind == "resnet")
    assert "--format=stablehlo" in message


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("vit", {"mlp_dropout": True, "dropout": 0.1, "stochastic_depth": 0.2}), ("resnet", {"momentum": 0.5})],
)
def test_what_only_training_reads_does_not_keep_a_model_from_being_written(tiny, kind, changes):
    FAMILIES[kind].config(dataclasses.replace(tiny.specs[kind], **changes))


@pytest.mark.parametrize(
    ("kind", "changes", "architecture", "prefix"),
    [
        ("vit", {}, "ViTForImageClassification", "vit."),
        ("vit", {"num_classes": 0}, "ViTForImageClassification", "vit."),
        ("vit", {"num_classes": 0, "pool": "pooler"}, "ViTModel", ""),
        ("resnet", {}, "ResNetForImageClassification", "resnet."),
        ("resnet", {"num_classes": 0}, "ResNetModel", ""),
        ("bert", {}, "BertForSequenceClassification", "bert."),
        ("bert", {"num_classes": 0}, "BertModel", ""),
    ],
)
def test_the_class_is_the_one_that_holds_exactly_the_models_arrays(tiny, kind, changes, architecture, prefix):
    spec = dataclasses.replace(tiny.specs[kind], **changes)
    config = FAMILIES[kind].config(spec)
    assert config["architectures"] == [architecture]
    assert bool({"id2label", "num_labels"} & set(config)) == architecture.endswith("Classification")
    assert FAMILIES[kind].prefix(spec) == prefix


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vit_gelu", {}),
        ("vit_gelu_new", {}),
        ("vit_headless", {"pool": "pooler"}),
        ("resnet_basic", {}),
        ("resnet_bottleneck", {}),
        ("resnet_headless", {}),
        ("bert_gelu", {}),
        ("bert_headless", {}),
    ],
)
def test_the_names_and_shapes_are_those_of_a_file_of_transformers(goldens, name, changes):
    config = json.loads((goldens[name] / "config.json").read_text())
    family = FAMILIES[config["model_type"]]
    classes = 0 if name.endswith("headless") else len(config["id2label"])
    fields = family.fields(settings_of(family, config, ""), "torch")
    spec = MODELS[family.model_type].spec(num_classes=classes, **{**fields, **changes})
    ours = entries(family.modules(spec, family.prefix(spec)), leaf_shapes(spec), "torch")
    theirs = {name: array.shape for name, array in open_weights(goldens[name]).arrays.items()}
    counts = {name for name in theirs if name.endswith("num_batches_tracked")}
    assert {name: entry.stored_shape for entry in ours for name in entry.names} == {
        name: shape for name, shape in theirs.items() if name not in counts
    }
