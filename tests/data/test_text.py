"""What a model expects of text."""

import pytest

from tlj.data.text import TextPreprocessing
from tlj.models.bert import BERTSpec

SPEC = BERTSpec(vocabulary=100, positions=16, width=8, heads=2)


def test_text_decides_no_size_of_a_model():
    assert TextPreprocessing(8, 50).sizes() == {}


@pytest.mark.parametrize(("length", "vocabulary"), [(16, 100), (1, 1)])
def test_text_within_the_positions_and_the_vocabulary_fits(length, vocabulary):
    assert TextPreprocessing(length, vocabulary).misfit(SPEC) == ""


@pytest.mark.parametrize(
    ("length", "vocabulary", "why"),
    [
        (17, 100, "the model has 16 positions, a sequence of the data 17 tokens"),
        (16, 101, "the model knows 100 token ids, the data has 101"),
    ],
)
def test_longer_text_or_more_token_ids_do_not_fit(length, vocabulary, why):
    assert TextPreprocessing(length, vocabulary).misfit(SPEC) == why


def test_a_model_keeps_its_vocabulary_and_takes_the_length_of_other_data():
    assert TextPreprocessing(128, 30522).on(TextPreprocessing(16, 1000)) == TextPreprocessing(16, 30522)


def test_a_model_keeps_its_tokenizer_on_other_data_which_brings_its_padding():
    own = TextPreprocessing(128, 30522, padding=1, tokenizer="abc")
    data = TextPreprocessing(16, 1000, padding=3)
    assert own.on(data) == TextPreprocessing(16, 30522, padding=3, tokenizer="abc")
