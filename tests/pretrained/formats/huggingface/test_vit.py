"""ViT as transformers has it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.models.vit import ViTSpec
from tlj.pretrained.formats.huggingface.config import settings_of
from tlj.pretrained.formats.huggingface.vit import VIT

SPECS = st.builds(
    ViTSpec,
    num_classes=st.integers(1, 5),
    image_size=st.sampled_from([16, 32]),
    patch_size=st.sampled_from([2, 4, 8]),
    width=st.sampled_from([12, 24]),
    depth=st.integers(1, 50),
    heads=st.sampled_from([1, 2, 3]),
    mlp_width=st.integers(1, 4096),
    activation=st.sampled_from(["gelu", "gelu_tanh", "relu"]),
    epsilon=st.floats(1e-12, 1.0),
    dropout=st.floats(0, 0.9),
    attention_dropout=st.floats(0, 0.9),
    qkv_bias=st.booleans(),
    mlp_dropout=st.just(False),
)


@given(SPECS)
def test_a_spec_comes_back_from_its_config(spec):
    config = json.loads(json.dumps(VIT.config(spec)))
    assert ViTSpec(num_classes=spec.num_classes, **VIT.fields(settings_of(VIT, config, ""), "torch")) == spec


@pytest.mark.parametrize("sides", [{"image_size": [224, 192]}, {"patch_size": [16, 8]}])
def test_images_and_patches_are_square(sides):
    with pytest.raises(InputError, match="the same for height and width"):
        settings_of(VIT, sides, "config.json")


@pytest.mark.parametrize(("key", "value"), [("pooler_act", "relu"), ("pooler_output_size", 12)])
def test_another_pooler_matters_only_to_who_pools_with_it(key, value):
    settings = settings_of(VIT, {key: value}, "config.json")
    VIT.check(settings, ViTSpec(pool="first"), "config.json")
    with pytest.raises(InputError, match=rf"config.json: {key} = .* is not implemented; tlj implements (tanh|768)"):
        VIT.check(settings, ViTSpec(pool="pooler"), "config.json")


def test_a_pooler_as_wide_as_the_model_is_read():
    for width in (None, 0, 768):
        VIT.check(settings_of(VIT, {"pooler_output_size": width}, ""), ViTSpec(pool="pooler"), "")
