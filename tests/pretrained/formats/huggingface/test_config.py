"""Reading and checking a config.json."""

import json

import pytest
import transformers

from tlj.errors import InputError
from tlj.pretrained.formats.huggingface.config import architecture_in, class_names, family_in, read_config, settings_of
from tlj.pretrained.formats.huggingface.families import FAMILIES

CLASSES = {"vit": transformers.ViTConfig, "resnet": transformers.ResNetConfig, "bert": transformers.BertConfig}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is not JSON"),
        (b'{"model_type": "vit"', "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"hidden_size": ' + b"9" * 5000 + b"}", "it is not JSON"),
        (b"[]", "not a JSON object"),
        (b'"vit"', "not a JSON object"),
        (b"null", "not a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path, content, what):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_config(tmp_path / "config.json")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_config(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"model_type": "vit"}')
    assert read_config(tmp_path / "config.json") == {"model_type": "vit"}


@pytest.mark.parametrize(("kind", "near"), [("deit", "vit"), ("roberta", "bert"), ("resnext", "resnet")])
def test_another_model_type_is_refused_with_the_nearest_and_all_that_exist(kind, near):
    with pytest.raises(InputError) as error:
        family_in({"model_type": kind}, FAMILIES, "config.json")
    message = str(error.value)
    assert f"config.json: model_type '{kind}' is not implemented" in message
    assert f"did you mean '{near}'" in message
    assert "tlj has bert, resnet, vit" in message


@pytest.mark.parametrize("kind", [None, 3, ["vit"], {"vit": 1}])
def test_a_model_type_that_is_no_text_is_refused(kind):
    with pytest.raises(InputError, match="is not implemented"):
        family_in({"model_type": kind}, FAMILIES, "config.json")


def test_a_config_without_model_type_is_refused():
    with pytest.raises(InputError, match="no model_type"):
        family_in({"hidden_size": 8}, FAMILIES, "config.json")


@pytest.mark.parametrize("kind", FAMILIES)
def test_missing_settings_take_the_defaults_of_the_config_class_of_transformers(kind):
    defaults = json.loads(json.dumps(CLASSES[kind]().to_dict()))
    silent = settings_of(FAMILIES[kind], {"model_type": kind}, "config.json")
    told = settings_of(FAMILIES[kind], defaults, "config.json")
    # The class fills in the width of the pooler, which tlj takes from the model's.
    assert {**silent, "pooler_output_size": 0} == {**told, "pooler_output_size": 0}
    assert set(FAMILIES[kind].settings) <= set(defaults)


@pytest.mark.parametrize("kind", FAMILIES)
def test_settings_that_change_no_value_are_passed_over(kind):
    config = {
        "torch_dtype": "float16",
        "use_cache": False,
        "initializer_range": 1.0,
        "auto_map": {"AutoModel": "code.Model"},
        "chunk_size_feed_forward": 2,
        "num_beams": 4,
        "transformers_version": "4.0.0",
        "_attn_implementation_autoset": True,
        "is_decoder": False,
        "pruned_heads": {},
        "quantization_config": None,
    }
    assert settings_of(FAMILIES[kind], config, "") == settings_of(FAMILIES[kind], {}, "")


@pytest.mark.parametrize(
    ("kind", "key", "value", "implemented"),
    [
        ("bert", "position_embedding_type", "relative_key", '"absolute"'),
        ("bert", "is_decoder", True, "false"),
        ("bert", "add_cross_attention", True, "false"),
        ("bert", "is_encoder_decoder", True, "false"),
        ("bert", "pruned_heads", {"1": [0]}, "{}"),
        ("vit", "num_channels", 1, "3"),
        ("resnet", "num_channels", 4, "3"),
        ("vit", "quantization_config", {"quant_method": "bitsandbytes"}, "null"),
        ("vit", "per_layer_config", {"0": {"hidden_act": "relu"}}, "null"),
    ],
)
def test_a_setting_of_which_one_value_is_implemented_is_named_with_it(kind, key, value, implemented):
    with pytest.raises(InputError) as error:
        settings_of(FAMILIES[kind], {key: value}, "config.json")
    assert f"config.json: {key} = " in str(error.value)
    assert f"tlj implements {implemented}" in str(error.value)


def test_unknown_settings_are_all_named():
    with pytest.raises(InputError) as error:
        settings_of(FAMILIES["vit"], {"swiglu": True, "hidden_sise": 8, "registers": 4}, "config.json")
    message = str(error.value)
    assert "settings that tlj does not implement: hidden_sise = 8, registers = 4, swiglu = True" in message
    assert "did you mean 'hidden_size'" in message


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_setting_of_another_family_is_unknown(kind):
    others = {"vit": "vocab_size", "resnet": "hidden_size", "bert": "patch_size"}
    with pytest.raises(InputError, match=f"a setting that tlj does not implement: {others[kind]} = 8"):
        settings_of(FAMILIES[kind], {others[kind]: 8}, "config.json")


def test_class_names_are_in_the_order_of_their_numbers():
    assert class_names({"id2label": {"10": "k", "2": "b", "0": "a"}}, "") == ("a", "b", "k")
    assert class_names({"id2label": {}}, "") == ()
    assert class_names({"id2label": None}, "") is None
    assert class_names({}, "") is None


@pytest.mark.parametrize("named", [["a", "b"], {"a": "0"}, {"-1": "a"}, {"1" * 5000: "a"}, "ab"])
def test_class_names_that_are_no_object_of_numbers_are_refused(named):
    with pytest.raises(InputError, match="config.json: id2label is not"):
        class_names({"id2label": named}, "config.json")


def test_the_architecture_is_called_as_the_class_of_torch():
    assert architecture_in({"architectures": ["FlaxBertModel"]}, "") == "BertModel"
    assert architecture_in({"architectures": ["TFViTModel"]}, "") == "ViTModel"
    assert architecture_in({"architectures": None}, "") == architecture_in({}, "") == ""


@pytest.mark.parametrize("named", ["BertModel", [1], {"a": 1}])
def test_architectures_that_are_no_list_of_names_are_refused(named):
    with pytest.raises(InputError, match="is not a list of names"):
        architecture_in({"architectures": named}, "config.json")
