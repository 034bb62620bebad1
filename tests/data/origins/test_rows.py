"""Rows of a table with their places."""

import functools
import pickle

import numpy as np
import pyarrow as pa
import pytest

from tlj.data.origins.rows import InMemory, Rows, decoded
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError


def rows_of(**columns):
    lines = functools.partial(np.asarray, [2, 3, 7, 8])
    return Rows("a.csv", "train", InMemory(pa.table(columns)), lines=lines)


def problems(on_error="skip"):
    return Problems(DataSettings("csv:a", on_error=on_error))


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
)
def test_text_of_every_kind_becomes_one_kind(kind):
    text = pa.array(["a", "é", None], pa.string()).cast(kind.value_type if pa.types.is_dictionary(kind) else kind)
    text = text.dictionary_encode() if pa.types.is_dictionary(kind) else text
    column = decoded(rows_of(text=text), ["text"], problems()).column("text")
    assert column.type == pa.large_string()
    assert column.to_pylist() == ["a", "é", None]


def test_numbers_stay_numbers():
    assert decoded(rows_of(label=[1, 2]), ["label"], problems()).column("label").type == pa.int64()


def test_a_row_that_is_not_utf8_is_told_and_left_out():
    rows = rows_of(text=[b"a", b"\xff", "é".encode(), "é".encode("latin-1")], label=[b"0", b"1", b"2", b"3"])
    found = problems()
    kept = decoded(rows, ["text", "label"], found)
    assert [problem.where for problem in found.skipped] == ["a.csv, row 3", "a.csv, row 8"]
    assert kept.column("text").to_pylist() == ["a", "é"]
    assert kept.numbers.tolist() == [1, 3]
    assert kept.where(1) == "a.csv, row 7"
    with pytest.raises(InputError, match=r"a\.csv, row 3: is not UTF-8 text; save the file as UTF-8"):
        decoded(rows, ["text"], problems("raise"))


def test_text_that_only_claims_to_be_utf8_is_told_too():
    claimed = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"\xff"]).buffers())
    assert decoded(rows_of(text=claimed), ["text"], problems()).column("text").to_pylist() == ["a"]


def test_columns_beside_the_text_stay_where_they_are():
    rows = rows_of(image=[b"\xff", b"\xfe"], label=[b"x", b"y"])
    kept = decoded(rows, ["label"], problems())
    assert kept.holder is rows.holder
    assert kept.column("label").type == pa.large_string()
    assert kept.column("image").to_pylist() == [b"\xff", b"\xfe"]


def test_a_column_that_is_not_there_is_null():
    assert rows_of(text=["a", "b"]).column("label").to_pylist() == [None, None]


def test_rows_left_out_twice_keep_their_numbers():
    rows = rows_of(text=["a", "b", "c", "d"]).without([1]).without([1])
    assert rows.column("text").to_pylist() == ["a", "d"]
    assert rows.numbers.tolist() == [1, 4]
    assert pickle.loads(pickle.dumps(rows)).where(1) == "a.csv, row 8"
