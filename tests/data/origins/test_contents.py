"""What is wrong with texts and images."""

import pyarrow as pa
import pytest

from tlj.data.origins.columns import Columns
from tlj.data.origins.contents import content_problems
from tlj.data.origins.rows import InMemory, Rows
from tlj.errors import InputError

TEXT, PAIR, IMAGES = Columns(("a",), "", "y"), Columns(("a", "b"), "", "y"), Columns((), "a", "y")


def rows_of(folder=None, **columns):
    return Rows("a.csv", "", InMemory(pa.table(columns)), folder)


def text(*values):
    return pa.array(values, pa.large_string())


def test_empty_and_blank_texts_are_found_across_tables():
    tables = [rows_of(a=text("x", " \t", None)), rows_of(a=text("", "\u3000", "y"))]
    assert content_problems(tables, TEXT) == dict.fromkeys([1, 2, 3, 4], "the text is empty")


def test_either_text_of_a_pair_may_be_the_empty_one():
    assert content_problems([rows_of(a=text("x", "y", ""), b=text("", "y", "z"))], PAIR) == {
        0: "the text 'b' is empty",
        2: "the text 'a' is empty",
    }


def test_images_that_are_empty_or_missing_are_found(written, tmp_path):
    written("1.png", "x")
    assert content_problems([rows_of(a=[b"x", b"", None])], IMAGES) == {1: "the image is empty", 2: "there is no image"}
    assert content_problems([rows_of(tmp_path, a=["1.png", "2.png", "", None])], IMAGES) == {
        1: "the file of the image does not exist",
        2: "there is no image",
        3: "there is no image",
    }


def test_text_that_is_numbers_is_one_line():
    with pytest.raises(InputError, match=r"a\.csv: the column 'a' holds int64, not text"):
        content_problems([rows_of(a=[1, 2])], TEXT)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "."])
def test_a_path_that_cannot_be_that_of_an_image_is_one_that_is_missing(tmp_path, path):
    assert content_problems([rows_of(tmp_path, a=[path])], IMAGES) == {0: "the file of the image does not exist"}
