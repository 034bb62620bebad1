"""Contents of the rows of tables."""

import pickle

import numpy as np
import pyarrow as pa
import pytest

from tlj.data.origins.items import TableItems, image_columns
from tlj.data.origins.rows import InMemory, Rows
from tlj.errors import InputError


def rows_of(folder=None, name="a.csv", **columns):
    return Rows(name, "", InMemory(pa.table(columns)), folder)


def test_texts_are_found_across_tables_by_index():
    items = TableItems(
        (rows_of(a=["x", "y"], b=["1", "2"]), rows_of(name="b.csv", a=["z"], b=["3"])), ("a", "b"), "text"
    )
    assert [items[i] for i in np.arange(3)] == [("x", "1"), ("y", "2"), ("z", "3")]
    assert [items.where(i) for i in range(3)] == ["a.csv, row 1", "a.csv, row 2", "b.csv, row 1"]
    assert len(items) == 3
    assert [pickle.loads(pickle.dumps(items))[i] for i in range(3)] == [items[i] for i in range(3)]


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_is_an_error(index):
    with pytest.raises(IndexError):
        TableItems((rows_of(a=["x", "y"]),), ("a",), "text")[index]


def test_images_come_from_bytes_structs_and_files(written, tmp_path):
    written("images/1.png", b"one")
    struct = pa.array([{"bytes": b"two", "path": "no"}, {"bytes": None, "path": "images/1.png"}])
    tables = (
        rows_of(tmp_path, image=[b"zero"]),
        rows_of(tmp_path, image=["images/1.png"]),
        rows_of(tmp_path, image=struct),
    )
    items = TableItems(tables, ("image",), "images")
    assert [items[i] for i in range(4)] == [b"zero", b"one", b"two", b"one"]
    assert items.where(1) == "a.csv, row 1, images/1.png"
    assert items.where(2) == "a.csv, row 1"


def test_a_file_that_went_away_is_one_line(tmp_path):
    items = TableItems((rows_of(tmp_path, image=["gone.png"]),), ("image",), "images")
    with pytest.raises(InputError, match=r"a\.csv, row 1, gone\.png: the image cannot be read: No such file"):
        items[0]


def test_a_column_that_holds_no_images_is_one_line():
    with pytest.raises(InputError, match=r"a\.csv: the column 'image' holds int64, not images"):
        TableItems((rows_of(image=[1]),), ("image",), "images")[0]


def test_contents_beside_the_table_are_read_by_the_row_of_the_file():
    rows = Rows(
        "train", "", InMemory(pa.table({"image": [b"hash"] * 2})), kept=np.array([0, 2]), contents=[b"a", b"b", b"c"]
    )
    items = TableItems((rows,), ("image",), "images")
    assert [items[0], items[1]] == [b"a", b"c"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"bytes": 1, "path": "a"}]),
        pa.array([{"bytes": "text", "path": None}]),
        pa.array([{"bytes": None, "path": 1}]),
        pa.array([b"ab"], pa.binary(2)),
        pa.nulls(1),
    ],
    ids=str,
)
def test_what_are_neither_bytes_nor_paths_is_one_line(column):
    with pytest.raises(InputError, match=r"a\.csv: the column 'image' holds .*, not images"):
        image_columns(rows_of(image=column), "image")


def test_paths_that_are_not_utf8_are_one_line():
    paths = pa.array([b"\xe9.png"], pa.binary()).view(pa.string())
    for column in (paths, pa.StructArray.from_arrays([paths], ["path"])):
        with pytest.raises(InputError, match=r"a\.csv: the column 'image' has paths that are not UTF-8"):
            image_columns(rows_of(image=column), "image")
