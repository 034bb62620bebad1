"""A source from the rows of tables."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.data.parts import pool_and_test
from tlj.errors import InputError

TRAIN = "text,label,user,key\n" + "".join(f"t{i},{'ab'[i % 2]},u{i % 3},k{i}\n" for i in range(6))


@pytest.fixture
def splits(written, tmp_path):
    def make(**files):
        for name, content in {"train": TRAIN, **files}.items():
            written(f"{name}.csv", content)
        return tmp_path

    return make


def test_splits_hold_their_rows_in_the_order_of_the_file(splits, opened):
    source = opened("csv", splits(test="text,label\nx,b\ny,a\n"))
    assert {name: [source.ids[i] for i in part] for name, part in source.parts.items()} == {
        "test": ["test.csv:1", "test.csv:2"],
        "train": [f"train.csv:{row}" for row in range(1, 7)],
    }
    assert [source.items[i] for i in source.parts["test"]] == [("x",), ("y",)]
    assert source.labels[source.parts["train"]].tolist() == [0, 1, 0, 1, 0, 1]
    assert source.labels.dtype == np.int32
    assert (source.kind, source.classes, source.preprocessing) == ("text", ("a", "b"), None)
    assert source.facts["columns"]["text"] == ("text",)


def test_groups_and_ids_come_from_their_columns(written, opened):
    source = opened("csv", written("a.csv", TRAIN), group="user", id="key")
    assert source.groups == ("u0", "u1", "u2", "u0", "u1", "u2")
    assert source.ids == tuple(f"k{i}" for i in range(6))
    assert not source.parts


def test_an_id_given_twice_is_an_error_with_both_rows(written, opened):
    file = written("a.csv", TRAIN + "again,a,u,k1\n")
    with pytest.raises(InputError, match=r"the id 'k1' is that of two examples: a\.csv, row 3; a\.csv, row 8"):
        opened("csv", file, id="key")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (" ,a,u,k", "the text is empty"),
        ("t,,u,k", "the label is empty"),
        ("t,nan,u,k", "the label is NaN"),
        ("t,a,,k", "the group is empty"),
        ("t,a,u,", "the id is empty"),
        ("t,a,u", "has 3 values, the header 4 (is a quote never closed?)"),
        (b"\xe9,a,u,k", "is not UTF-8 text"),
    ],
)
def test_a_bad_row_is_one_line_or_left_out_and_listed(written, opened, row, reason):
    lines = TRAIN.encode().splitlines()
    lines.insert(3, row if isinstance(row, bytes) else row.encode())
    file = written("a.csv", b"\n".join(lines))
    columns = {"group": "user", "id": "key"}
    with pytest.raises(InputError) as error:
        opened("csv", file, **columns)
    assert str(error.value).startswith(f"a.csv, row 4: {reason}; ")
    assert "\n" not in str(error.value)
    source = opened("csv", file, on_error="skip", **columns)
    assert [(problem.where, problem.reason) for problem in source.skipped] == [("a.csv, row 4", reason)]
    assert source.ids == tuple(f"k{i}" for i in range(6))
    assert [source.items[i] for i in range(6)] == [(f"t{i}",) for i in range(6)]
    assert source.items.where(2) == "a.csv, row 5"


def test_bad_rows_are_listed_in_their_order_each_with_its_reason(written, opened):
    source = opened("csv", written("a.csv", TRAIN + "t,,u,k\n ,a,u,k\n"), on_error="skip")
    assert [(problem.where, problem.reason) for problem in source.skipped] == [
        ("a.csv, row 8", "the label is empty"),
        ("a.csv, row 9", "the text is empty"),
    ]


def test_more_bad_rows_than_may_be_skipped_are_an_error(written, opened):
    file = written("a.csv", TRAIN + "t,,u,k\n" * 3)
    with pytest.raises(
        InputError, match="more than 2 examples cannot be read; the last is a.csv, row 10: the label is"
    ):
        opened("csv", file, on_error="skip", skip_limit=2)


def test_a_label_of_the_test_that_training_lacks_is_one_line_with_its_row(splits, opened):
    path = splits(test="text,label\nx,a\ny,c\n")
    with pytest.raises(InputError, match=r"test\.csv, row 3: the label 'c' is not a label of the split 'train': a, b"):
        opened("csv", path)
    assert len(opened("csv", path, on_error="skip").parts["test"]) == 1
    assert len(opened("csv", path, classes=("a", "b", "c")).parts["test"]) == 2


@pytest.mark.parametrize("test", ["text\nx\ny\n", "text,label\nx,\ny,\n", "text,label\nx,-1\ny,-1\n"])
def test_a_split_without_labels_is_left_out_and_named(splits, opened, test):
    source = opened("csv", splits(test=test))
    assert list(source.parts) == ["train"]
    assert source.facts["unlabelled"] == ("test",)
    assert len(source.labels) == 6
    assert not source.skipped
    chosen = {"train": "", "test": "test", "test_fraction": 0.5, "split_seed": 0, "split_from": ""}
    with pytest.raises(InputError, match="config.data.test: the part 'test' has no labels; name one that has: train"):
        pool_and_test(source, chosen)


@pytest.mark.parametrize("test", ["text,label\n", "text,label\nx\n"])
def test_a_split_without_usable_rows_is_an_error(splits, opened, test):
    with pytest.raises(InputError, match=r"test\.csv: has no rows that can be used"):
        opened("csv", splits(test=test), on_error="skip")


def test_a_table_without_any_label_is_an_error(written, opened):
    with pytest.raises(InputError, match="no example has a label; give another data.columns.label"):
        opened("csv", written("a.csv", "text,label\na,\nb,\n"))


def test_a_table_of_which_nothing_is_left_is_an_error(written, opened):
    with pytest.raises(InputError, match="every example was left out"):
        opened("csv", written("a.csv", "text,label\n ,a\n ,b\n"), on_error="skip")


def test_the_digest_tells_what_is_left_out_and_nothing_of_the_place(written, opened):
    first = opened("csv", written("one/a.csv", TRAIN))
    assert opened("csv", written("two/a.csv", TRAIN)).digest == first.digest
    assert opened("csv", written("three/a.csv", TRAIN.replace("t0", "tO"))).digest != first.digest
    assert opened("csv", written("four/a.csv", TRAIN + " ,a,u,k\n"), on_error="skip").digest != first.digest


def test_paths_that_cannot_be_are_left_out_and_nothing_waits_for_a_pipe(written, opened, tmp_path, png):
    os.mkfifo(tmp_path / "pipe.png")
    for i in range(2):
        written(f"{i}.png", png(i))
    names = ["0.png", "1.png", "x" * 5000, "a\0b", ".", "pipe.png"]
    table = written("a.csv", "image,label\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(names)))
    with pytest.warns(match="left out because they cannot be read: 4"):
        source = opened("csv", table, on_error="skip")
    assert source.ids == ("a.csv:1", "a.csv:2")
    assert {skipped.reason for skipped in source.skipped} == {"the file of the image does not exist"}


@pytest.mark.parametrize(
    "settings", [{"label": "odd"}, {"label": "label", "id": "raw"}, {"label": "label", "group": "raw"}]
)
def test_a_column_of_a_type_that_is_no_text_is_one_line(opened, tmp_path, settings):
    odd, raw = pa.array([bytes([i] * 16) for i in (65, 66)], pa.uuid()), pa.array([b"\xe9", b"\xff"], pa.binary(1))
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1], "odd": odd, "raw": raw}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="the column .* holds"):
        opened("parquet", tmp_path / "a.parquet", **settings)
