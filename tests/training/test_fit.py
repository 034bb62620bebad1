"""How model and data fit, and what is said where they do not."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tlj import config as configuration
from tlj.data.examples import Examples
from tlj.data.images import Augmentation
from tlj.data.settings import Reading
from tlj.data.sources import open_source
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.bert import BERTSpec
from tlj.training.fit import IMAGENET_MEAN, IMAGENET_STD, fit_model, for_text

VIT = {"patch_size": 4, "width": 16, "depth": 1, "heads": 2}
CHECKPOINTS = pathlib.Path(__file__).parents[1] / "golden/checkpoints"


@pytest.fixture
def photographs():
    labels = np.array([0, 1, 2, 0], np.int32)
    return Examples("photographs", "images", ("a", "b", "c"), labels, tuple("wxyz"), [b""] * 4, "hash")


def fit(source, augmentation=None, **changes):
    config = configuration.run_config(configuration.merge(configuration.default(), changes))
    return fit_model(config, source, augmentation or Augmentation(), pathlib.Path())


def test_photographs_take_the_size_of_the_model_and_the_usual_normalisation(photographs):
    found = fit(photographs, model={"settings": {**VIT, "image_size": 20}})
    assert (found.spec.image_size, found.spec.num_classes) == (20, 3)
    assert (found.preprocessing.mean, found.preprocessing.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert found.preprocessing.image_size == 20
    assert found.reading == found.training_reading == Reading()


def test_what_the_config_says_of_preprocessing_wins(photographs):
    settings = {"settings": {**VIT, "image_size": 20}, "preprocessing": {"mean": (0.5,) * 3, "resize_to": 24}}
    found = fit(photographs, model=settings)
    assert (found.preprocessing.mean, found.preprocessing.resize_to) == ((0.5,) * 3, 24)


def test_a_checkpoint_brings_its_preprocessing_and_the_data_its_classes(photographs):
    found = fit(photographs, model={"source": str(CHECKPOINTS / "vit_gelu")})
    assert found.preprocessing == found.pretrained.preprocessing
    assert found.spec == dataclasses.replace(found.pretrained.spec, num_classes=3)


def test_a_head_of_several_layers_is_the_runs_own_whatever_the_source(photographs):
    source = str(CHECKPOINTS / "vit_gelu")
    found = fit(photographs, model={"source": source, "settings": {"head_layers": (4,)}})
    assert found.spec == dataclasses.replace(found.pretrained.spec, num_classes=3, head_layers=(4,))
    assert found.pretrained.spec.head_layers == ()
    assert fit(photographs, model={"settings": {**VIT, "head_layers": (4, 5)}}).spec.head_layers == (4, 5)
    with pytest.raises(InputError, match=r"head_layers = \(0,\) is not a list of whole numbers of at least 1"):
        fit(photographs, model={"source": source, "settings": {"head_layers": (0,)}})


@pytest.mark.parametrize(("crop_from", "expected"), [(0, 23), (32, 32)])
def test_only_training_reads_the_whole_image_for_a_crop(photographs, crop_from, expected):
    model = {"settings": {**VIT, "image_size": 20}}
    found = fit(photographs, Augmentation(crop=0.3, crop_from=crop_from), model=model)
    assert (found.reading.crop_from, found.training_reading.crop_from) == (0, expected)


def test_a_crop_is_never_cut_from_fewer_pixels_than_the_model_takes(photographs):
    model = {"settings": {**VIT, "image_size": 20}}
    with pytest.raises(InputError, match="crop_from: a crop of 19 pixels a side is enlarged to the model's 20"):
        fit(photographs, Augmentation(crop=0.3, crop_from=19), model=model)


def test_data_of_one_size_decides_the_size_of_a_new_model():
    assert fit(open_source("digits"), model={"settings": VIT}).spec.image_size == 8


@pytest.mark.parametrize(
    ("family", "where", "what"),
    [("bert", "config.model.family", "bert takes text, photographs holds images"),
     ("vt", "config.model.family", "unknown model family 'vt'")],
)  # fmt: skip
def test_another_family_than_the_data_takes_is_refused(photographs, family, where, what):
    with pytest.raises(InputError) as refused:
        fit(photographs, model={"family": family})
    assert (refused.value.where, refused.value.what) == (where, what)


TEXT = {"length": 0, "tokenizer": ""}


def test_text_may_be_as_long_as_the_model_or_as_the_config_says():
    spec, own = BERTSpec(positions=64), TextPreprocessing(8, 30522)
    assert for_text(TEXT, spec, own, {}).length == 64
    assert for_text({**TEXT, "length": 20}, spec, own, {}).length == 20


@pytest.mark.parametrize(
    ("length", "vocabulary", "message"),
    [(65, 100, "65 tokens, but the model has 64 positions"), (2, 100, "2 tokens hold no text"),
     (0, 30523, "the model knows 30522 token ids, the tokenizer has 30523")],
)  # fmt: skip
def test_text_that_the_model_cannot_take_is_refused(length, vocabulary, message):
    with pytest.raises(InputError, match=message):
        for_text({**TEXT, "length": length}, BERTSpec(positions=64), TextPreprocessing(8, vocabulary), {})
