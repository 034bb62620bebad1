"""Tables of every kind, opened by name."""

import json
import pathlib
import pickle
import tempfile
import time
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tlj.data.origins.tables import open_table
from tlj.data.settings import DataSettings
from tlj.errors import InputError

ROWS = [("good, very", "x", 1), ("bad", "y z", 0), ("fine", "w", 1)]


@pytest.fixture
def table(written, tmp_path):
    """Writes the same rows as a file of some kind."""

    def make(kind):
        names = ["premise", "hypothesis", "label"]
        if kind == "parquet":
            columns = zip(*ROWS, strict=True)
            pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), tmp_path / "a.parquet")
            return tmp_path / "a.parquet"
        if kind == "jsonl":
            return written("a.jsonl", "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in ROWS))
        mark, quote = (",", '"') if kind == "csv" else ("\t", "")
        lines = [mark.join(f"{quote}{value}{quote}" for value in row) for row in [names, *ROWS]]
        return written(f"a.{kind}", "\n".join(lines))

    return make


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_table_gives_the_same_examples(table, opened, kind):
    source = opened(kind, table(kind))
    assert [source.items[i] for i in range(3)] == [row[:2] for row in ROWS]
    assert source.classes == ("0", "1")
    assert source.labels.tolist() == [1, 0, 1]
    assert source.ids == tuple(f"a.{kind}:{row}" for row in (1, 2, 3))
    assert source.items.where(1) == f"a.{kind}, row {3 if kind in ('csv', 'tsv') else 2}"
    assert pickle.loads(pickle.dumps(source.items))[1] == ROWS[1][:2]


def test_shards_of_a_split_join(written, opened, tmp_path):
    for shard, labels in enumerate(("ab", "ba")):
        content = "".join(json.dumps({"text": "t", "label": label}) + "\n" for label in labels)
        written(f"train-0000{shard}-of-00002.jsonl", content)
    source = opened("jsonl", tmp_path)
    assert source.labels[source.parts["train"]].tolist() == [0, 1, 1, 0]
    assert source.ids[2] == "train-00001-of-00002.jsonl:1"


def test_labels_of_different_types_in_two_files_are_the_same_labels(tmp_path, opened):
    columns = {"train": pa.array([0, 1]), "test": pa.array(["b", "a"]), "val": pa.array([1.0, 0.0])}
    for name, labels in columns.items():
        pq.write_table(pa.table({"text": ["t", "u"], "label": labels}), tmp_path / f"{name}.parquet")
    source = opened("parquet", tmp_path, classes=("a", "b"))
    assert {name: source.labels[part].tolist() for name, part in source.parts.items()} == {
        "test": [1, 0],
        "train": [0, 1],
        "val": [1, 0],
    }


def test_images_by_path_are_relative_to_the_table(written, opened, png):
    written("images/one.png", png(1))
    written("images/two.png", png(2))
    source = opened("csv", written("a.csv", "path,label\nimages/one.png,a\nimages/two.png,b\n"))
    assert source.kind == "images"
    assert source.items[1] == png(2)


def test_a_missing_image_is_one_line_with_row_and_name(written, opened):
    file = written("a.csv", "path,label\nimages/one.png,a\na.csv,b\n")
    with pytest.raises(InputError, match=r"a\.csv, row 2, images/one\.png: the file of the image does not exist"):
        opened("csv", file)


def parquet_with_names(file, names, labels):
    features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["t"] * len(labels), "label": labels})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), file)


def test_class_names_in_a_parquet_file_are_used(tmp_path, opened):
    parquet_with_names(tmp_path / "train.parquet", ["dog", "cat", "elk"], [1, 0])
    source = opened("parquet", tmp_path / "train.parquet")
    assert source.classes == ("dog", "cat", "elk")
    assert source.labels.tolist() == [1, 0]
    parquet_with_names(tmp_path / "test.parquet", ["cat", "dog", "elk"], [1, 0])
    with pytest.raises(InputError, match=r"train\.parquet: names its classes \['dog', .*and test\.parquet \['cat'"):
        opened("parquet", tmp_path)


@pytest.mark.parametrize("column", ["label", "user"])
def test_lists_where_one_value_belongs_are_an_error(tmp_path, opened, column):
    columns = {"text": ["a", "b"], "label": [0, 1], "user": ["u", "v"], column: [[0], [1, 2]]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"the column '{column}' holds list"):
        opened("parquet", tmp_path / "a.parquet", group="user")


def test_a_split_without_the_text_is_an_error_with_its_columns(written, opened, tmp_path):
    written("train.csv", "text,label\na,0\nb,1\n")
    written("test.csv", "texts,label\na,0\n")
    with pytest.raises(InputError, match=r"test\.csv: there is no column 'text'; did you mean 'texts'\?"):
        opened("csv", tmp_path)


def test_sst2_opens_in_well_under_a_second(shared_data, opened):
    begin = time.perf_counter()
    source = opened("tsv", shared_data("data/sst2"))
    assert time.perf_counter() - begin < 2  # 0.25 s where nothing else runs
    assert {name: len(part) for name, part in source.parts.items()} == {"dev": 872, "train": 67_349}
    assert source.classes == ("0", "1")
    assert len(set(source.ids)) == 68_221


def test_cifar10_opens_with_its_class_names_from_a_file(shared_data, opened):
    folder = shared_data("data/cifar10-jpeg")
    source = opened("parquet", folder, classes=(str(folder / "labels.txt"),))
    assert {name: len(part) for name, part in source.parts.items()} == {"test": 10_000, "train": 20_000}
    assert source.classes[:2] == ("airplane", "automobile")
    assert set(source.labels.tolist()) == set(range(10))
    assert all(source.items[i].startswith(b"\xff\xd8") for i in np.arange(0, 30_000, 999))
    assert len(pickle.dumps(source.items)) < 2**20


DAMAGE = (
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\t",
    b"\0",
    b"\xff",
    b"\\ud800",
    b"NaN",
    b"{",
    b"[",
    b"\xef\xbb\xbf",
    b"1e999",
    b"",
)


@hypothesis_settings(derandomize=True, deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(["csv", "tsv", "jsonl"]),
    on_error=st.sampled_from(["raise", "skip"]),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(DAMAGE), st.integers(0, 3)), max_size=4),
)
def test_damaged_tables_give_examples_or_one_line_and_lose_no_row_in_silence(kind, on_error, changes):
    rows = [(f"é {i}", "ab"[i % 2]) for i in range(12)]
    if kind == "jsonl":
        content = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()
    else:
        mark = "," if kind == "csv" else "\t"
        content = "".join(f"{text}{mark}{label}\n" for text, label in [("text", "label"), *rows]).encode()
    content = bytearray(content)
    for place, damage, length in changes:
        place %= len(content)
        content[place : place + length] = damage
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pathlib.Path(folder, f"a.{kind}")
        file.write_bytes(content)
        try:
            source = open_table(DataSettings(f"{kind}:{file}", on_error=on_error), str(file))
        except InputError as error:
            lines = str(error).splitlines()
        else:
            lines = [""]
            assert all(text.strip() for i in range(len(source.labels)) for text in source.items[i])
            # In CSV a quote may take a new line into a value.
            if kind != "csv":
                rows = bytes(content).splitlines() if kind == "tsv" else bytes(content).split(b"\n")
                count = sum(bool(row if kind == "tsv" else row.strip()) for row in rows) - (kind == "tsv")
                assert len(source.labels) + len(source.skipped) == count
    assert len(lines) == 1
