"""Batches of text, padded."""

import pickle

import numpy as np
import pytest

from tlj.data.text import TextPreprocessing
from tlj.data.tokens.padded_reader import PaddedReader
from tlj.data.tokens.tokenise import tokens_of

PADDING = 9


@pytest.fixture
def reader_of(source_of, tokenizer):
    """Makes a reader of texts: ``reader_of(texts, count)``."""

    def make(texts, count=3, length=20):
        source = source_of(texts)
        preprocessing = TextPreprocessing(length, 100, padding=PADDING, tokenizer="hash")
        return PaddedReader(source.labels.astype(np.int64), tokens_of(source, length, tokenizer), preprocessing, count)

    return make


def test_a_batch_has_the_tokens_of_its_examples_in_their_order(reader_of):
    batch = reader_of(["a", "a b c", "b"]).batch(np.array([2, 1, 0, 2]))
    assert batch["input_ids"].tolist() == [[2, 6, 3, 9, 9], [2, 5, 6, 7, 3], [2, 5, 3, 9, 9], [2, 6, 3, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5, [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert batch["label"].tolist() == [0, 1, 0, 0]
    assert {array.dtype for array in batch.values()} == {np.dtype("int32")}
    assert set(batch) == {"input_ids", "attention_mask", "label"}


def test_a_pair_has_types_and_padding_has_the_first(reader_of):
    batch = reader_of([("a", "b"), ("a b", "c d")]).batch(np.array([0, 1]))
    assert batch["input_ids"].tolist() == [[2, 5, 3, 6, 3, 9, 9], [2, 5, 6, 3, 7, 8, 3]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]]
    assert batch["token_type_ids"].dtype == np.int32


def test_the_whole_batch_decides_the_length_and_only_the_rows_are_read(reader_of, words):
    reader = reader_of(words(40, 12), count=4)
    random = np.random.default_rng(0)
    for _ in range(20):
        indices = random.integers(0, 40, 8)
        whole = reader.batch(indices)
        longest = reader.lengths[indices].max()
        assert whole["input_ids"].shape == (8, min(length for length in reader.fixed if length >= longest))
        for rows in (slice(0, 4), slice(4, 8), slice(3, 3)):
            part = reader.batch(indices, rows)
            assert {name: array.tolist() for name, array in part.items()} == {
                name: array[rows].tolist() for name, array in whole.items()
            }


def test_batches_have_few_lengths_the_last_of_which_is_the_longest_in_use(reader_of, words):
    texts = words(60, 14)
    reader = reader_of(texts, count=4, length=10)
    assert len(reader.fixed) == 4
    assert reader.preprocessing == TextPreprocessing(10, 100, padding=PADDING, tokenizer="hash")
    assert reader.by_length
    assert (reader.lengths <= 10).all()
    assert (reader.tokens.whole > 10).any()
    assert reader_of(texts, length=19).preprocessing.length == 16


def test_with_one_length_batches_are_all_alike(reader_of):
    reader = reader_of(["a", "a b c", ""], count=1)
    assert not reader.by_length
    assert reader.batch(np.array([2]))["input_ids"].tolist() == [[2, 3, 9, 9, 9]]


def test_a_reader_evaluates_with_itself_costs_nothing_and_can_be_sent_to_a_process(reader_of):
    reader = reader_of(["a", "b c"])
    assert reader.evaluation is reader
    assert reader.in_memory
    sent = pickle.loads(pickle.dumps(reader))
    assert sent.batch(np.array([1]))["input_ids"].tolist() == [[2, 6, 7, 3]]
