"""What tlj knows of a model and transformers has no setting for."""

import dataclasses

import pytest

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.pretrained.formats.huggingface.extra import extra_preprocessing, extra_spec, with_extra
from tlj.pretrained.formats.huggingface.families import FAMILIES

IMAGES = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
TEXT = TextPreprocessing(length=6, vocabulary=11)


def written(spec, preprocessing, kind):
    family = FAMILIES[kind]
    return with_extra(family, family.config(spec), spec, preprocessing)


@pytest.mark.parametrize(("kind", "preprocessing"), [("vit", IMAGES), ("resnet", IMAGES), ("bert", TEXT)])
def test_nothing_is_added_where_transformers_says_all(tiny, kind, preprocessing):
    assert "tlj" not in written(tiny.specs[kind], preprocessing, kind)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("vit", {"mlp_width": 0}),
        ("vit", {"mlp_dropout": True, "stochastic_depth": 0.1}),
        ("vit", {"num_classes": 0, "pool": "pooler"}),
        ("resnet", {"momentum": 0.99}),
        ("bert", {"mlp_width": 0}),
    ],
)
def test_what_would_be_lost_is_told_and_read(tiny, kind, changes):
    spec = dataclasses.replace(tiny.specs[kind], **changes)
    config = written(spec, TEXT if kind == "bert" else IMAGES, kind)
    assert set(config["tlj"]["settings"]) == set(changes) - {"num_classes"}
    plain = {**changes, "mlp_width": 32} if "mlp_width" in changes else {}
    stored = dataclasses.replace(tiny.specs[kind], num_classes=spec.num_classes, **plain)
    assert extra_spec(FAMILIES[kind], stored, config, "config.json") == spec


def test_what_text_was_like_is_told_and_read(tiny):
    spec, preprocessing = tiny.specs["bert"], TextPreprocessing(4, 9, padding=2)
    config = written(spec, preprocessing, "bert")
    assert config["tlj"]["preprocessing"] == {"length": 4, "vocabulary": 9, "padding": 2}
    assert extra_preprocessing(TEXT, spec, config, "config.json") == preprocessing


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ([], "tlj is not what tlj writes there"),
        ({"settings": 3}, "tlj is not what tlj writes there"),
        ({"other": {}}, "tlj is not what tlj writes there"),
        ({"settings": {"epsilon": 1.0}}, "tlj.settings has no 'epsilon'"),
        ({"settings": {"mlp_droput": True}}, "did you mean 'mlp_dropout'?"),
        ({"settings": {"mlp_width": 7}}, "would make another model"),
        ({"settings": {"pool": "mean"}}, "would make another model"),
        ({"settings": {"stochastic_depth": "much"}}, "stochastic_depth = 'much' is not a number"),
        ({"settings": {"pool": "last"}}, "unknown pool 'last'"),
    ],
)
def test_a_setting_that_does_not_belong_there_is_refused(tiny, told, problem):
    with pytest.raises(InputError, match="config.json") as error:
        extra_spec(FAMILIES["vit"], tiny.specs["vit"], {"tlj": told}, "config.json")
    assert problem in str(error.value)


@pytest.mark.parametrize("told", [{"length": 7}, {"length": 0}, {"length": True}, {"padding": 11}, {"vocabulary": 1.5}])
def test_text_that_the_model_has_no_room_for_is_refused(tiny, told):
    with pytest.raises(InputError, match="is not a whole number from"):
        extra_preprocessing(TEXT, tiny.specs["bert"], {"tlj": {"preprocessing": told}}, "config.json")
