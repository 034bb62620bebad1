"""Parquet files."""

import json
import pathlib
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.data.cache import cache_folder
from tlj.data.origins.parquet import class_names, read_parquet, schema_of
from tlj.errors import InputError


@pytest.fixture
def images(tmp_path, png):
    table = pa.table(
        {"image": [png(i) for i in range(2500)], "label": [i % 2 for i in range(2500)], "more": [0] * 2500}
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=999)
    return tmp_path / "a.parquet"


def test_images_are_mapped_and_read_at_any_row(images, png):
    rows = read_parquet(images, "train", ["image", "label"], "image")
    assert rows.table.column_names == ["image", "label"]
    assert [rows.column("image")[row].as_py() for row in (2400, 0, 999)] == [png(2400), png(0), png(999)]
    assert rows.where(4) == "a.parquet, row 5"
    assert pa.total_allocated_bytes() < 2**24


def test_images_go_to_another_process_by_name_even_when_the_cache_was_emptied(images):
    rows = read_parquet(images, "train", ["image", "label"], "image")
    sent = pickle.dumps(rows)
    assert len(sent) < 1000
    for file in cache_folder("tables").iterdir():
        file.unlink()
    assert pickle.loads(sent).table.equals(rows.table)


def test_a_changed_file_is_read_again(images, png):
    read_parquet(images, "", ["image"], "image")
    pq.write_table(pa.table({"image": [png(7)]}), images)
    assert read_parquet(images, "", ["image"], "image").column("image").to_pylist() == [png(7)]


def test_without_a_cache_images_are_in_memory(images, monkeypatch, written):
    monkeypatch.setenv("TLJ_CACHE", str(written("file", "no folder")))
    assert len(read_parquet(images, "", ["image"], "image")) == 2500


def test_text_is_in_memory_and_nothing_is_kept(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}), tmp_path / "a.parquet")
    rows = read_parquet(tmp_path / "a.parquet", "", ["text", "label"], "")
    assert rows.table.to_pydict() == {"text": ["a", "b"], "label": [0, 1]}
    assert not cache_folder("tables").exists()


def test_class_names_are_those_that_the_datasets_library_writes():
    features = {"label": {"names": ["dog", "cat"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    schema = pa.schema({"label": pa.int64()}, {"huggingface": json.dumps({"info": {"features": features}})})
    assert class_names(schema, "label") == ("dog", "cat")
    assert class_names(schema, "text") == ()


@pytest.mark.parametrize("metadata", [None, {}, {"huggingface": "{"}, {"huggingface": '{"info": null}'}])
def test_other_metadata_names_no_classes(metadata):
    assert class_names(pa.schema({"label": pa.int64()}, metadata), "label") == ()


def test_a_file_that_is_not_parquet_is_one_line(written):
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read as parquet"):
        schema_of(written("a.parquet", "text"))


def test_a_file_cut_off_is_one_line(images):
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read as parquet"):
        read_parquet(pathlib.Path(images), "", ["image"], "image")
