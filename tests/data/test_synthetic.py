"""Data made of noise."""

import numpy as np
import pytest

from tlj.data.images import normalise
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.data.synthetic import VOCABULARY, DrawnExamples, synthetic_images, synthetic_text
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError

NAMES = ("synthetic:8x3", "synthetic_text:16x3")


def everything(source: DrawnExamples) -> dict[str, np.ndarray]:
    return source.batch(np.arange(len(source.labels)))


def accuracy_of_nearest_mean(features: np.ndarray, labels: np.ndarray) -> float:
    """Fitted on the first half, tested on the second."""
    half, classes = len(labels) // 2, labels.max() + 1
    means = np.stack([features[:half][labels[:half] == label].mean(0) for label in range(classes)])
    nearest = np.square(features[half:, None] - means).sum(-1).argmin(-1)
    return float((nearest == labels[half:]).mean())


def test_images_are_bytes_of_the_size_and_classes_in_the_name():
    source = open_source("synthetic:12x5")
    batch = source.batch(np.array([3, 1, 4, 1]))
    assert batch["image"].shape == (4, 12, 12, 3)
    assert batch["image"].dtype == np.uint8
    assert batch["label"].dtype == np.int32
    np.testing.assert_array_equal(batch["label"], source.labels[[3, 1, 4, 1]])
    assert source.classes == ("0", "1", "2", "3", "4")
    assert source.preprocessing.image_size == 12


def test_text_is_ids_of_one_length_with_a_mask_of_what_is_real():
    source = open_source("synthetic_text:16x3")
    batch = everything(source)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert ids.shape == mask.shape == (512, 16)
    assert ids.dtype == mask.dtype == np.int32
    np.testing.assert_array_equal(mask == 1, ids != 0)
    assert np.all(ids[:, 0] == 1)
    words = ids[:, 1:][mask[:, 1:] == 1]
    assert words.min() >= 5
    assert words.max() < VOCABULARY == source.preprocessing.vocabulary
    assert source.preprocessing == TextPreprocessing(16, 1000)


def test_texts_differ_in_length_and_end_in_padding():
    mask = everything(open_source("synthetic_text:16x3"))["attention_mask"]
    assert set(mask.sum(1)) == set(range(4, 17))
    assert np.all(np.diff(mask, axis=1) <= 0)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_the_same_in_every_batch_and_opening(name):
    batch = open_source(name).batch(np.array([7, 2, 7]))
    opened_again = {"synthetic": synthetic_images, "synthetic_text": synthetic_text}[name.split(":")[0]](
        DataSettings(name), name.split(":")[1]
    )
    alone = opened_again.batch(np.array([7]))
    for array in batch.keys() - {"label", "attention_mask"}:
        np.testing.assert_array_equal(batch[array][0], batch[array][2])
        np.testing.assert_array_equal(batch[array][0], alone[array][0])
        assert np.any(batch[array][0] != batch[array][1])


@pytest.mark.parametrize("name", NAMES)
def test_no_two_examples_are_alike(name):
    batch = everything(open_source(name))
    array = batch["image"] if "image" in batch else batch["input_ids"]
    assert len({example.tobytes() for example in array}) == len(array)


@pytest.mark.parametrize(
    ("name", "examples"), [("synthetic:8x3", 512), ("synthetic:8x100", 2000), ("synthetic_text:8x100", 2000)]
)
def test_every_class_has_at_least_twenty_examples_and_as_many_as_another(name, examples):
    source = open_source(name)
    counts = np.bincount(source.labels)
    assert counts.sum() == len(source.ids) == len(set(source.ids)) == examples
    assert counts.min() >= 20
    assert np.ptp(counts) <= 1


def test_opening_draws_nothing():
    # A terabyte of images, were they drawn.
    source = open_source("synthetic:4096x1000")
    assert source.batch(np.array([19_999]))["image"].shape == (1, 4096, 4096, 3)


@pytest.mark.parametrize("name", ["synthetic:8x3", "synthetic:32x10"])
def test_preprocessing_brings_images_to_about_zero_mean_and_unit_variance(name):
    source = open_source(name)
    images = np.asarray(normalise(everything(source)["image"], source.preprocessing))
    assert abs(images.mean()) < 0.05
    assert abs(images.std() - 1) < 0.03


def test_the_class_of_an_image_can_be_learnt_and_is_faint():
    batch = everything(open_source("synthetic:8x3"))
    images = batch["image"].astype(np.float64)
    cells = images.reshape(-1, 4, 2, 4, 2, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    assert accuracy_of_nearest_mean(cells, batch["label"]) > 0.7
    assert accuracy_of_nearest_mean(images.reshape(len(images), -1)[:, :3], batch["label"]) < 0.6


def test_the_class_of_a_text_can_be_learnt_from_its_words():
    batch = everything(open_source("synthetic_text:16x3"))
    words = np.stack([np.bincount(ids, minlength=VOCABULARY)[:20] for ids in batch["input_ids"]])
    assert accuracy_of_nearest_mean(words[:, 2:], batch["label"]) > 0.7


def test_another_size_or_number_of_classes_has_another_digest():
    names = (*NAMES, "synthetic:8x4", "synthetic:9x3", "synthetic_text:16x4", "synthetic_text:17x3")
    assert len({open_source(name).digest for name in names}) == len(names)


@pytest.mark.parametrize(
    "name",
    ["synthetic", "synthetic:8", "synthetic:8x", "synthetic:0x3", "synthetic:8x1", "synthetic:8x3x3", "synthetic:-8x3"],
)
def test_images_of_no_size_are_refused_with_an_example(name):
    with pytest.raises(InputError, match=r"config\.data\.source: .* SIZExCLASSES .*'synthetic:224x1000'"):
        open_source(name)


@pytest.mark.parametrize("name", ["synthetic_text", "synthetic_text:128", "synthetic_text:3x2", "synthetic_text:16x1"])
def test_text_of_no_length_is_refused_with_an_example(name):
    with pytest.raises(InputError, match=r"config\.data\.source: .* LENGTHxCLASSES .*'synthetic_text:128x2'"):
        open_source(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_examples_may_have_sets_or_numbers_for_labels(name):
    single = open_source(name)
    sets, numbers = (open_source(DataSettings(name, task=task)) for task in ("multilabel", "regression"))
    assert sets.labels[:3].tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert (sets.labels.dtype, numbers.labels.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(numbers.labels, single.labels)
    assert (sets.classes, numbers.classes) == (single.classes, ())
    assert len({single.digest, sets.digest, numbers.digest}) == 3
    wanted = np.array([3, 1])
    for other in (sets, numbers):
        batch = other.batch(wanted)
        np.testing.assert_array_equal(batch.pop("label"), other.labels[wanted])
        for array, content in batch.items():
            np.testing.assert_array_equal(content, single.batch(wanted)[array])
