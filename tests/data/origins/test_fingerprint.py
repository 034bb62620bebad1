"""The hash of what is used of tables."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tlj.data.origins.columns import Columns
from tlj.data.origins.fingerprint import fingerprint
from tlj.data.origins.labels import Numbered
from tlj.data.origins.rows import InMemory, Rows

TEXT, IMAGES = Columns(("a",), "", "y"), Columns((), "a", "y")


def digest(rows, columns=TEXT, labels=(0, 1, 0), classes=("x", "y"), names=((), ()), **options):
    return fingerprint([rows], columns, Numbered(classes, np.array(labels), {}), names, **options)


def text_rows(*chunks):
    return Rows("a.csv", "", InMemory(pa.table({"a": pa.chunked_array(list(chunks), pa.large_string())})))


@hypothesis_settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=8), st.integers(0, 8), st.integers(0, 3))
def test_chunks_and_slices_do_not_show(values, cut, before):
    padded = pa.array(["before"] * before + values + ["after"], pa.large_string()).slice(before, len(values))
    assert digest(text_rows(values)) == digest(text_rows(values[:cut], values[cut:])) == digest(text_rows(padded))


@pytest.mark.parametrize(
    "other", [["ab", "c", "e"], ["a", "bc", "d"], ["a", "bcd", ""], ["a", "bc", None], ["bc", "a", "d"]]
)
def test_every_change_of_the_text_shows(other):
    assert digest(text_rows(other)) != digest(text_rows(["ab", "c", "d"]))


def test_labels_classes_ids_groups_rows_and_the_file_show():
    rows = text_rows(["ab", "c", "d"])
    same = digest(rows).digest
    changed = [
        digest(rows, labels=(0, 1, 1)),
        digest(rows, classes=("x", "z")),
        digest(rows, names=(("1", "2", "3"), ())),
        digest(rows, names=((), ("1", "2", "3"))),
        digest(dataclasses.replace(rows, kept=np.array([0, 1, 3]))),
        digest(dataclasses.replace(rows, name="b.csv")),
    ]
    assert len({same, *(found.digest for found in changed)}) == len(changed) + 1
    assert digest(rows).hash_of == "columns"


def test_images_in_files_are_hashed_by_their_content(written, tmp_path):
    rows = Rows("a.csv", "", InMemory(pa.table({"a": ["1.png", "2.png", "gone"]})), tmp_path)
    written("1.png", "abc")
    written("2.png", "def")
    before = digest(rows, IMAGES)
    assert before.hash_of == "columns, paths and contents of images"
    written("2.png", "dfe")
    assert digest(rows, IMAGES) != before


def test_of_much_data_the_files_stand_for_the_content():
    rows = dataclasses.replace(text_rows(["ab", "c", "d"]), stamp="a.csv 17")
    much = digest(rows, most=2)
    assert much.hash_of == "files and sizes"
    assert much == digest(dataclasses.replace(text_rows(["xy", "c", "d"]), stamp="a.csv 17"), most=2)
    assert much != digest(dataclasses.replace(rows, stamp="a.csv 18"), most=2)
