"""What a user says of a source beside its place."""

import dataclasses

import numpy as np
import pytest

from tlj.data.images import Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.bert import BERTSpec
from tlj.models.registry import build
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained.formats.checkpoint import POSITIONS
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.overrides import ADJUSTABLE, Overrides, check_preprocessing
from tlj.pretrained.source import source_of_variables

VIT = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=8, depth=1, heads=2)
BERT = BERTSpec(num_classes=3, vocabulary=11, width=8, depth=1, heads=2, positions=6)
IMAGES = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)


def run_source(spec, preprocessing=IMAGES):
    variables, _ = initial_variables("scratch", spec, None, 0)
    return source_of_variables(spec, preprocessing, variables, step=3)


def test_nothing_said_changes_nothing():
    source = run_source(VIT)
    assert Overrides({}).on_run(source) is source
    assert Overrides({}).adjust(VIT) == VIT


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        (VIT, dict(image_size=16, pool="mean", dropout=0.1, attention_dropout=0.2, stochastic_depth=0.3)),
        (VIT, dict(mlp_dropout=False, family="vit")),
        (ResNetSpec(), dict(image_size=160, momentum=0.99)),
        (BERT, dict(pool="mean", dropout=0.2, attention_dropout=0.0, head_dropout=0.5)),
    ],
)
def test_what_moves_no_array_may_differ(spec, given):
    adjusted = Overrides(given).adjust(spec)
    changed = {name for name in given if name != "family"}
    assert {name: getattr(adjusted, name) for name in changed} == {name: given[name] for name in changed}
    assert dataclasses.replace(adjusted, **{name: getattr(spec, name) for name in changed}) == spec


@pytest.mark.parametrize(
    ("spec", "given", "told"),
    [
        (VIT, dict(width=16), "the source has width = 8, not 16"),
        (VIT, dict(epsilon=1e-12), "the source has epsilon = 1e-06, not 1e-12"),
        (VIT, dict(activation="relu"), "activation = 'gelu', not 'relu'"),
        (ResNetSpec(), dict(shortcut="padding"), "shortcut = 'projection', not 'padding'"),
        (BERT, dict(positions=5), "positions = 6, not 5"),
    ],
)
def test_what_would_make_another_model_of_the_same_arrays_may_not(spec, given, told):
    with pytest.raises(InputError, match=told) as caught:
        Overrides(given).adjust(spec)
    assert ADJUSTABLE[{"ViTSpec": "vit", "ResNetSpec": "resnet", "BERTSpec": "bert"}[type(spec).__name__]][0] in str(
        caught.value
    )


def test_a_setting_that_says_what_the_source_says_is_welcome():
    assert Overrides(dict(width=8, heads=2, epsilon=1e-6)).adjust(VIT) == VIT


def test_another_family_and_a_misspelt_name_are_refused():
    with pytest.raises(InputError, match="the source is a vit, not a bert"):
        Overrides(dict(family="bert")).adjust(VIT)
    with pytest.raises(InputError, match="vit has no setting 'img_size'; did you mean 'image_size'"):
        Overrides(dict(img_size=16)).adjust(VIT)
    with pytest.raises(InputError, match="bert has no setting 'mean'"):
        Overrides(dict(mean=(0, 0, 0))).adjust(BERT)
    with pytest.raises(InputError, match="no setting 'num_classes'"):
        Overrides(dict(num_classes=4)).adjust(VIT)


def test_preprocessing_follows_the_model_s_resolution_and_takes_the_user_s_own():
    given = Overrides(dict(image_size=16, mean=[0.1, 0.2, 0.3], resample="bicubic"))
    changed = given.on_preprocessing(IMAGES, given.adjust(VIT))
    assert (changed.image_size, changed.mean, changed.std) == (16, (0.1, 0.2, 0.3), IMAGES.std)
    assert changed.resample == "bicubic"


def test_text_has_no_resolution():
    text = TextPreprocessing(6, 11)
    assert Overrides(dict(dropout=0.3)).on_preprocessing(text, BERT) is text


def test_a_run_at_another_resolution_has_its_positions_resized_and_gives_logits():
    source = Overrides(dict(image_size=16)).on_run(run_source(VIT))
    assert source.leaves[POSITIONS].note == "bicubic from 2x2 to 4x4"
    variables, report = initial_variables("pretrained", source.spec, source, 0, keep_head=True)
    assert [row.path for row in report.leaves if row.status == "resized"] == [POSITIONS]
    logits = build(source.spec).apply(variables, np.zeros((2, 16, 16, 3), np.float32))
    assert np.isfinite(logits).all()
    assert source.preprocessing.image_size == 16


def test_a_run_that_pools_otherwise_leaves_its_pooler_behind_and_says_so():
    source = Overrides(dict(pool="mean")).on_run(run_source(BERT, TextPreprocessing(6, 11)))
    assert {leaf.source for leaf in source.ignored} == {
        "params/backbone/pooler/kernel",
        "params/backbone/pooler/bias",
    }
    assert {leaf.note for leaf in source.ignored} == {"the model pools otherwise"}
    _, report = initial_variables("pretrained", source.spec, source, 0, keep_head=True)
    assert {row.status for row in report.leaves if row.path} == {"loaded"}


def test_a_config_s_preprocessing_holds_nothing_else():
    check_preprocessing(("mean", "std", "resample", "resize_to", "keep_aspect"), "vit")
    for name, family in (
        ("meen", "vit"),
        ("image_size", "vit"),
        ("width", "resnet"),
        ("family", "vit"),
        ("mean", "bert"),
    ):
        with pytest.raises(InputError, match=f"the preprocessing of {family} has no setting '{name}'"):
            check_preprocessing((name,), family)
