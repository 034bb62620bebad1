"""Sources of labelled data."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tlj.data.images import normalise
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.errors import InputError


@pytest.fixture(scope="module")
def digits():
    return open_source("digits")


def test_digits_are_the_handwritten_digits_of_scikit_learn(digits):
    raw = load_digits()
    assert digits.images.shape == (1797, 8, 8, 3)
    assert digits.images.dtype == np.uint8
    np.testing.assert_array_equal(digits.labels, raw.target)
    np.testing.assert_allclose(digits.images[..., 0] / 255, raw.images / 16, atol=0.5 / 255)
    np.testing.assert_array_equal(digits.images[..., 0], digits.images[..., 2])


def test_a_range_of_digits_renumbers_its_labels_from_zero():
    source = open_source("digits:5-9")
    assert source.classes == ("5", "6", "7", "8", "9")
    assert sorted(set(source.labels.tolist())) == [0, 1, 2, 3, 4]
    targets = load_digits().target
    named = [targets[int(name.removeprefix("digits/"))] for name in source.ids]
    np.testing.assert_array_equal(source.labels + 5, named)


def test_pretraining_digits_and_target_digits_share_no_example():
    low, high = open_source("digits:0-4"), open_source("digits:5-9")
    assert not set(low.ids) & set(high.ids)
    assert len(low.ids) + len(high.ids) == 1797


@pytest.mark.parametrize("name", ["digits", "digits:0-4", "digits:5-9"])
def test_ids_are_unique(name):
    source = open_source(name)
    assert len(set(source.ids)) == len(source.ids) == len(source.labels)


def test_an_example_keeps_its_id_and_image_in_a_narrower_source(digits):
    source = open_source("digits:5-9")
    where = digits.ids.index(source.ids[7])
    np.testing.assert_array_equal(source.images[7], digits.images[where])


def test_a_batch_holds_the_examples_at_its_indices_in_order(digits):
    batch = digits.batch(np.array([5, 2, 5]))
    assert batch["image"].dtype == np.uint8
    assert batch["label"].dtype == np.int32
    np.testing.assert_array_equal(batch["image"], digits.images[[5, 2, 5]])
    np.testing.assert_array_equal(batch["label"], digits.labels[[5, 2, 5]])


@pytest.mark.parametrize("name", ["digits", "digits:0-4", "digits:5-9"])
def test_preprocessing_brings_images_to_about_zero_mean_and_unit_variance(name):
    source = open_source(name)
    images = np.asarray(normalise(source.images, source.preprocessing))
    assert abs(images.mean()) < 0.03
    assert abs(images.std() - 1) < 0.03


def test_digest_follows_images_labels_and_class_names():
    source = open_source("digits:5-9")
    image, label = source.images.copy(), source.labels.copy()
    image[0, 0, 0, 0] += 1
    label[0] = (label[0] + 1) % 5
    changed = [
        dataclasses.replace(source, images=image),
        dataclasses.replace(source, labels=label),
        dataclasses.replace(source, classes=("a", "b", "c", "d", "e")),
    ]
    assert len({source.digest, *(other.digest for other in changed)}) == 4
    assert dataclasses.replace(source, images=source.images.copy()).digest == source.digest


def test_one_name_opens_one_object():
    assert open_source("digits:5-9") is open_source("digits:5-9")


def test_unknown_source_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"config\.data\.source: unknown data source 'digit'; did you mean 'digits'"):
        open_source("digit:0-4")


@pytest.mark.parametrize("name", ["digits:5", "digits:9-5", "digits:3-3", "digits:0-10", "digits:a-b", "digits:0-4-5"])
def test_a_range_that_is_none_is_refused_with_an_example(name):
    with pytest.raises(InputError, match=r"does not name a range of digits.*'digits:5-9'"):
        open_source(name)


@pytest.mark.parametrize("name", ["digits:5-9", "folder:photographs"])
@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_source_of_one_class_an_example_is_refused_for_other_labels(name, task):
    with pytest.raises(InputError, match=f"config.task: every example of {name} has one class.* for {task}; .*jsonl"):
        open_source(DataSettings(name, task=task))
