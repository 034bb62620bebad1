"""Texts read once, and which are copies of which."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.audit.planted import Held
from tlj.audit.contents import ArrayContents
from tlj.audit.text_table import normal_form, read_texts, text_copies
from tlj.data.sources import open_source
from tlj.errors import InputError


def table_of(*texts):
    rows = [(one,) if isinstance(one, str) else one for one in texts]
    return read_texts(Held(rows), np.arange(len(rows)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("A fine film.", "a fine film"),
        ("a fine,  film", "A\tfine film!"),
        ("Straße", "STRASSE"),
        ("ﬁne ①", "fine 1"),
        ("e\u0301tude", "étude"),
        ("``quoted''", '"Quoted"'),
        ("non\u00a0breaking", "non breaking"),
    ],
)
def test_case_form_punctuation_and_spaces_make_no_other_text(left, right):
    assert normal_form(left) == normal_form(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (":)", ":("),
        ("good 😀", "good 😡"),
        ("a film", "a firm"),
        ("कि", "का"),
        ("no one", "noone"),
        ("1 + 1", "1 1"),
        ("", "!"),
    ],
)
def test_what_says_something_else_stays_another_text(left, right):
    assert normal_form(left) != normal_form(right)


@hypothesis.settings(derandomize=True, deadline=None, max_examples=150)
@hypothesis.given(st.text(max_size=20))
def test_a_normal_form_is_its_own_normal_form(text):
    assert normal_form(normal_form(text)) == normal_form(text)


def test_copies_are_told_from_copies_in_normal_form():
    table = table_of("A film.", "another", "A film.", "a film", "something else")
    identical, normalised = text_copies(table, np.array([True, True, False, False, False]))
    assert identical.partner.tolist() == [0, 1, 0, -1, -1]
    assert normalised.partner.tolist() == [0, 1, 0, 0, -1]


def test_the_two_texts_of_a_pair_do_not_run_into_each_other():
    table = table_of(("ab", "c"), ("a", "bc"), ("abc", ""))
    assert len(set(table.content)) == len(set(table.normalised)) == 3


def test_lengths_are_words_and_of_both_texts_of_a_pair():
    table = table_of("three small words", ("two words", "and three more"), "")
    assert table.unit == "words"
    assert table.lengths.tolist() == [3, 5, 0]
    assert table.empty.tolist() == [False, False, True]
    assert table.ending == ["s", "e", ""]


def test_lengths_are_tokens_with_a_tokenizer_however_long(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]))
    items = Held([("a",), ("ab ab",), ("a " * 2000,)])
    table = read_texts(items, np.arange(3), {"vocab.txt": tmp_path / "vocab.txt"})
    assert table.unit == "tokens"
    assert table.lengths.tolist() == [3, 6, 2002]


def test_token_ids_are_counted_as_they_are():
    source = open_source("synthetic_text:16x2")
    table = read_texts(ArrayContents(source), np.arange(8), {"vocab.txt": None})
    assert table.unit == "tokens"
    mask = source.batch(np.arange(8))["attention_mask"]
    assert table.lengths.tolist() == mask.sum(axis=1).tolist()


def test_what_cannot_be_read_is_listed():
    class Broken(Held):
        def __getitem__(self, index):
            if index == 1:
                raise InputError("the row is gone", where="t.csv")
            return super().__getitem__(index)

    table = read_texts(Broken([("a",), ("b",), ("c",)]), np.arange(3))
    assert table.indices.tolist() == [0, 2]
    assert table.unreadable[1].reason == "the row is gone"
