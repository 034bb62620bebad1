"""Batches of text, packed."""

import dataclasses

import numpy as np
import pytest

from tlj.data.settings import Reading
from tlj.data.text import TextPreprocessing
from tlj.data.tokens.packed_reader import PackedReader
from tlj.data.tokens.padded_reader import PaddedReader
from tlj.data.tokens.tokenise import tokens_of

PADDING = 9
ROWS = ("input_ids", "segment_ids", "position_ids", "token_type_ids")


@pytest.fixture
def reader_of(source_of, tokenizer):
    """Makes a packed reader of texts: ``reader_of(texts, shards=1)``."""

    def make(texts, shards=1):
        source = source_of(texts)
        preprocessing = TextPreprocessing(12, 100, padding=PADDING)
        return PackedReader(PaddedReader(source.labels, tokens_of(source, 12, tokenizer), preprocessing, 4), shards)

    return make


def pairs_of(words, count):
    return list(zip(words(count, 6, seed=1), words(count, 6, seed=2), strict=True))


def test_a_batch_by_hand(reader_of):
    batch = reader_of(["a", "a b c d a b", "b c"]).batch(np.array([2, 1, 0]))
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7, 8, 5, 6, 3], [2, 6, 7, 3, 2, 5, 3, 9]]
    assert batch["segment_ids"].tolist() == [[1] * 8, [1, 1, 1, 1, 2, 2, 2, 0]]
    assert batch["position_ids"].tolist() == [list(range(8)), [0, 1, 2, 3, 0, 1, 2, 0]]
    assert batch["example_row"].tolist() == [1, 0, 1]
    assert batch["example_start"].tolist() == [0, 0, 4]
    assert batch["example_length"].tolist() == [4, 8, 3]
    assert batch["label"].tolist() == [0, 1, 0]
    assert {array.dtype for array in batch.values()} == {np.dtype("int32")}


@pytest.mark.parametrize("pairs", [False, True])
def test_it_holds_the_examples_of_the_padded_batch(reader_of, words, pairs):
    reader = reader_of(pairs_of(words, 50) if pairs else words(50, 14))
    indices = np.random.default_rng(0).integers(0, 50, 24)
    packed, padded = reader.batch(indices), reader.evaluation.batch(indices)
    assert ("token_type_ids" in packed) == pairs
    np.testing.assert_array_equal(packed["label"], padded["label"])
    for i, (row, start, length) in enumerate(
        zip(packed["example_row"], packed["example_start"], packed["example_length"], strict=True)
    ):
        assert length == padded["attention_mask"][i].sum()
        place = np.s_[row, start : start + length]
        for name in {"input_ids", "token_type_ids"} & set(padded):
            np.testing.assert_array_equal(packed[name][place], padded[name][i, :length])
        np.testing.assert_array_equal(packed["position_ids"][place], np.arange(length))
        assert len(np.unique(packed["segment_ids"][place])) == 1
    padding = packed["segment_ids"] == 0
    assert (~padding).sum() == packed["example_length"].sum()
    assert (packed["input_ids"][padding] == PADDING).all()


@pytest.mark.parametrize("pairs", [False, True])
def test_processes_read_the_shares_of_one_batch(reader_of, words, pairs):
    reader = reader_of(pairs_of(words, 50) if pairs else words(50, 14), shards=4)
    indices = np.random.default_rng(0).integers(0, 50, 24)
    whole = reader.batch(indices)
    assert len(whole["input_ids"]) % 4 == 0
    for count in (1, 2, 4):
        share = 24 // count
        parts = [reader.batch(indices, slice(i * share, (i + 1) * share)) for i in range(count)]
        assert all(len(part["label"]) == share for part in parts)
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)
            assert len({part[name].shape for part in parts}) == 1


def test_rows_that_cannot_be_shared_out_are_refused(reader_of):
    reader = reader_of(["a b c d", "a", "b"])
    with pytest.raises(ValueError, match="1 packed rows of 2 examples have no share 0:1:1"):
        reader.batch(np.array([1, 2]), slice(0, 1))
    with pytest.raises(ValueError, match="have no share 0:2:2"):
        reader.batch(np.array([1, 2]), slice(0, 2, 2))


def test_batches_of_one_size_have_few_shapes(reader_of, words):
    reader, random = reader_of(words(200, 14)), np.random.default_rng(0)
    shapes = {reader.batch(random.integers(0, 200, 64))["input_ids"].shape for _ in range(100)}
    assert len(shapes) < 8
    assert {length for _, length in shapes} == {12}


def test_it_reads_as_the_padded_one_does_but_for_by_length(reader_of):
    reader = reader_of(["a", "b c d"])
    assert reader.preprocessing == reader.evaluation.preprocessing == TextPreprocessing(5, 100, padding=PADDING)
    assert reader.lengths.tolist() == [3, 5]
    assert (reader.in_memory, reader.by_length, reader.evaluation.by_length) == (True, False, True)


@pytest.mark.parametrize("labels", [np.eye(4, dtype=np.int8), np.arange(4, dtype=np.float32) / 4])
def test_labels_that_are_sets_or_numbers_come_as_they_are(source_of, tokenizer, labels):
    source = dataclasses.replace(source_of(["a", "b c", "a b", "d"]), labels=labels)
    for batching in ("packed", "padded"):
        reader = source.reader(TextPreprocessing(8, 14), Reading(tokenizer=tokenizer, batching=batching))
        found = reader.batch(np.array([3, 1]))["label"]
        np.testing.assert_array_equal(found, labels[[3, 1]])
        assert found.dtype == labels.dtype
