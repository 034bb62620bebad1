"""The reader of a source of text, and what its batches waste."""

import csv
import time

import numpy as np
import pytest

from tlj.data.settings import Reading
from tlj.data.text import TextPreprocessing
from tlj.data.tokens.packed_reader import PackedReader
from tlj.data.tokens.padded_reader import PaddedReader
from tlj.data.tokens.reader import padding_of, text_reader
from tlj.errors import InputError


@pytest.mark.parametrize(
    ("batching", "kind", "fixed"),
    [("buckets", PaddedReader, (3, 6)), ("padded", PaddedReader, (6,)), ("packed", PackedReader, None)],
)
def test_the_batching_says_which_reader(source_of, tokenizer, batching, kind, fixed):
    reading = Reading(batching=batching, buckets=2, tokenizer=tokenizer)
    reader = source_of(["a", "a b c d", "b"]).reader(TextPreprocessing(8, 14), reading)
    assert type(reader) is kind
    assert reader.preprocessing == TextPreprocessing(6, 14)
    assert reader.evaluation.fixed == (fixed or (3, 6))
    assert reader.by_length == (batching == "buckets")


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_evaluation_has_few_lengths_for_few_programs(source_of, tokenizer, batching):
    texts = ["a " * count for count in range(1, 12)]
    reader = source_of(texts).reader(TextPreprocessing(16, 14), Reading(batching=batching, tokenizer=tokenizer))
    assert len(reader.evaluation.fixed) == 4
    assert reader.evaluation.fixed[-1] == reader.preprocessing.length == 13
    assert batching == "packed" or len(reader.fixed) == 11


def test_packed_rows_are_for_so_many_devices(source_of, tokenizer):
    reading = Reading(batching="packed", tokenizer=tokenizer, shards=3)
    reader = text_reader(source_of(["a", "b"]), TextPreprocessing(8, 14), reading)
    assert reader.batch(np.arange(2))["input_ids"].shape == (3, 3)


def test_a_tokenizer_of_more_words_than_the_model_knows_is_refused(source_of, tokenizer):
    source, reading = source_of(["a !"]), Reading(tokenizer=tokenizer)
    assert text_reader(source, TextPreprocessing(8, 14), reading).batch(np.array([0]))["input_ids"].max() == 13
    with pytest.raises(InputError, match="text.tokenizer: the tokenizer gives the token id 13, the model knows 13 ids"):
        text_reader(source, TextPreprocessing(8, 13), reading)


def test_padding_is_counted_in_the_batches_that_are_read(source_of, tokenizer):
    source = source_of(["a", "a b c d", "b"])
    batches = [np.array([0, 2]), np.array([1, 2])]
    found = {
        batching: padding_of(
            text_reader(source, TextPreprocessing(8, 14), Reading(0, 0, 0, batching, 2, tokenizer)), batches
        )
        for batching in ("buckets", "padded", "packed")
    }
    # Of 15 tokens: two rows of 3 and two of 6; four of 6; one row of 6 and two of 6.
    assert found == pytest.approx({"buckets": 1 - 15 / 18, "padded": 1 - 15 / 24, "packed": 1 - 15 / 18})


@pytest.fixture
def sst2(shared_data, source_of):
    """The sentences of SST-2 and the files of a real tokenizer."""
    folder = shared_data("pretrained/all-MiniLM-L6-v2")
    with shared_data("data/sst2/train.tsv").open(encoding="utf-8", newline="") as lines:
        texts = [line[0] for line in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
    return source_of(texts), tuple((name, folder / name) for name in ("tokenizer.json", "tokenizer_config.json"))


def test_sst2_wastes_less_than_a_tenth_and_a_cached_epoch_is_read_in_a_moment(sst2):
    source, files = sst2
    preprocessing = TextPreprocessing(128, 30522)
    buckets, packed, padded = (
        text_reader(source, preprocessing, Reading(batching=batching, tokenizer=files))
        for batching in ("buckets", "packed", "padded")
    )
    assert len(source.labels) == 67349
    assert (len(buckets.fixed), buckets.preprocessing.length, buckets.tokens.truncated) == (12, 66, 0)
    assert buckets.tokens.ids.dtype == np.uint16
    order = np.random.default_rng(0).permutation(67349)
    batches = [order[begin : begin + 64] for begin in range(0, 67349 - 63, 64)]
    alike = np.argsort(buckets.lengths, kind="stable")
    assert padding_of(buckets, [alike[begin : begin + 64] for begin in range(0, 67349 - 63, 64)]) < 0.1
    assert padding_of(packed, batches) < 0.1
    assert padding_of(padded, batches) > 0.75
    assert len({packed.batch(indices)["input_ids"].shape for indices in batches}) <= 8
    begin = time.perf_counter()
    for first in range(0, 67349 - 31, 32):
        buckets.batch(order[first : first + 32])
    assert time.perf_counter() - begin < 5
