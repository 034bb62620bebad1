"""ResNet as transformers has it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.models.resnet import ResNetSpec
from tlj.pretrained.formats.huggingface.config import settings_of
from tlj.pretrained.formats.huggingface.resnet import RESNET

STAGES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 4096)), min_size=1, max_size=5)


@st.composite
def specs(draw):
    depths, widths = zip(*draw(STAGES), strict=True)
    return ResNetSpec(
        num_classes=draw(st.integers(1, 5)),
        stem_width=draw(st.integers(1, 128)),
        block=(block := draw(st.sampled_from(["basic", "bottleneck"]))),
        stage_depths=depths,
        stage_widths=widths,
        first_stage_stride=draw(st.sampled_from([1, 2])),
        bottleneck_stride=draw(st.sampled_from(["first", "second"])) if block == "bottleneck" else "second",
        activation=draw(st.sampled_from(["gelu", "gelu_tanh", "relu"])),
    )


@given(specs())
def test_a_spec_comes_back_from_its_config(spec):
    config = json.loads(json.dumps(RESNET.config(spec)))
    assert ResNetSpec(num_classes=spec.num_classes, **RESNET.fields(settings_of(RESNET, config, ""), "torch")) == spec


def test_hidden_sizes_are_what_a_block_gives():
    bottleneck = RESNET.fields(settings_of(RESNET, {"hidden_sizes": [16, 32], "depths": [1, 1]}, ""), "torch")
    basic = RESNET.fields(settings_of(RESNET, {"hidden_sizes": [16, 32], "layer_type": "basic"}, ""), "torch")
    assert (bottleneck["stage_widths"], basic["stage_widths"]) == ((4, 8), (16, 32))


def test_a_bottleneck_whose_width_does_not_divide_by_four_is_refused():
    with pytest.raises(InputError, match=r"hidden_sizes = \[16, 30\]"):
        RESNET.fields(settings_of(RESNET, {"hidden_sizes": [16, 30]}, ""), "torch")


def test_the_flax_class_strides_in_the_second_convolution_whatever_the_config_says():
    settings = settings_of(RESNET, {"downsample_in_bottleneck": True}, "")
    assert RESNET.fields(settings, "torch")["bottleneck_stride"] == "first"
    assert RESNET.fields(settings, "flax")["bottleneck_stride"] == "second"


def test_another_kind_of_block_is_refused():
    with pytest.raises(InputError, match="layer_type = 'wide' is not implemented.*tlj implements basic, bottleneck"):
        settings_of(RESNET, {"layer_type": "wide"}, "config.json")
