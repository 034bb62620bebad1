"""The variant of a ResNet, from the shapes of its arrays."""

import numpy as np
import pytest

from tests.pretrained.formats.torch_names import torch_resnet
from tlj.errors import InputError
from tlj.pretrained.files.stored import in_memory
from tlj.pretrained.formats.resnet_shapes import read_shapes


def shapes_of(arrays):
    return read_shapes({name: in_memory(name, values) for name, values in arrays.items()}, "file")


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("downsample", ["downsample", ""])
def test_every_variant_is_told_by_its_shapes(stem, block, downsample):
    arrays = torch_resnet(block, stem, (1, 3, 2), (4, 8, 12), 6, 5, downsample)
    assert shapes_of(arrays).settings == {
        "num_classes": 5,
        "stem": stem,
        "stem_width": 6,
        "block": block,
        "stage_depths": (1, 3, 2),
        "stage_widths": (4, 8, 12),
        "shortcut": "projection" if downsample else "padding",
    }


def test_widths_that_stay_still_need_a_shortcut_where_the_resolution_changes():
    assert shapes_of(torch_resnet(widths=(4, 4))).settings["shortcut"] == "projection"
    assert shapes_of(torch_resnet(widths=(4, 4), downsample="")).settings["shortcut"] == "padding"


def test_a_network_without_any_changing_block_tells_no_shortcut():
    assert "shortcut" not in shapes_of(torch_resnet(depths=(2,), widths=(4,))).settings


@pytest.mark.parametrize("head", ["fc", "head.fc", "head", "linear", "classifier"])
def test_the_head_is_found_under_its_usual_names(head):
    arrays = {name.replace("fc.", f"{head}."): values for name, values in torch_resnet(classes=7).items()}
    assert (shapes_of(arrays).head, shapes_of(arrays).settings["num_classes"]) == (head, 7)


def test_without_a_head_there_are_no_classes():
    found = shapes_of(torch_resnet(classes=0))
    assert (found.head, found.settings["num_classes"]) == ("", 0)


def test_the_other_name_of_a_shortcut_is_known():
    assert shapes_of(torch_resnet(downsample="shortcut")).shortcut == "shortcut"


def with_arrays(*names, shape=(4,), **variant):
    return torch_resnet(**variant) | dict.fromkeys(names, np.ones(shape, np.float32))


def reshaped(name, *shape, **variant):
    return with_arrays(name, shape=shape, **variant)


def without(*starts, **variant):
    return {name: values for name, values in torch_resnet(**variant).items() if not name.startswith(starts)}


REFUSED = {
    "deep stem": (with_arrays("conv1.0.weight", shape=(4, 3, 3, 3)), "conv1.0.weight belongs to a stem of several"),
    "squeeze and excitation": (with_arrays("layer1.0.se.fc1.weight"), "layer1.0.se.fc1.weight belongs to attention"),
    "ResNet-D": (reshaped("layer2.0.downsample.1.weight", 8, 4, 1, 1), "layer2.0.downsample.1.weight is a convolution"),
    "ResNet-D with a norm": (with_arrays("layer2.0.downsample.2.weight"), "pools by averages"),
    "anti-aliasing": (with_arrays("layer2.0.aa.filt"), "layer2.0.aa.filt is in no block"),
    "preact": (without("bn1."), "no bn1.weight: norms before the convolutions"),
    "grouped": (reshaped("layer1.0.conv2.weight", 4, 1, 3, 3, block="bottleneck"), "takes 1 of 4 channels: grouped"),
    "wide": (reshaped("layer1.0.conv3.weight", 8, 4, 1, 1, block="bottleneck"), "gives 8 channels from 4: only four"),
    "other stem": (reshaped("conv1.weight", 4, 3, 5, 5), "conv1.weight is a 5x5 convolution of 3 channels"),
    "grey images": (reshaped("conv1.weight", 4, 1, 7, 7), "7x7 convolution of 1 channels"),
    "no convolution": (reshaped("conv1.weight", 4), r"conv1.weight has shape \(4,\), which no convolution has"),
    "missing stage": (without("layer1.", depths=(1, 1)), "has layer2, which are no row of stages"),
    "missing first block": (without("layer1.0."), "layer1.0.conv1.weight is missing"),
    "two heads": (with_arrays("linear.weight", shape=(3, 8)), "more than one head: fc, linear"),
    "convolution as head": (reshaped("fc.weight", 3, 8, 1, 1), r"not \(classes, features\)"),
    "another model": ({"bert.embeddings.weight": np.ones(3)}, r"holds bert.embeddings.weight.*config.json"),
    "nothing": ({}, "it holds nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_implemented_is_refused_by_name(case):
    arrays, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        shapes_of(arrays)
