"""Prepared data sets of TensorFlow Datasets, read without TensorFlow."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data.origins.tiny_tfds import build
from tlj.data.cache import cache_folder
from tlj.data.origins import tfds as origin
from tlj.errors import InputError

NAMES = tfds.features.ClassLabel(names=["ant", "bee"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, png):
    """A folder with images, and with texts of which one split has no labels."""
    folder = tmp_path_factory.mktemp("tfds")
    images = {
        "train": [{"picture": png(i), "kind": i % 2} for i in range(12)],
        "test": [{"picture": png(i), "kind": i % 2} for i in range(12, 16)],
    }
    build(folder, "tiny_images", {"picture": tfds.features.Image(), "kind": NAMES}, images, ("picture", "kind"))
    texts = {
        "train": [{"sentence": f"é {i}", "label": i % 2, "user": i % 3} for i in range(6)],
        "test": [{"sentence": f"x {i}", "label": -1, "user": 0} for i in range(2)],
    }
    features = {"sentence": tfds.features.Text(), "label": NAMES, "user": tfds.features.Scalar(np.int32)}
    build(folder, "tiny_texts", features, texts)
    return folder


@pytest.fixture(autouse=True)
def data_dir(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))


def test_images_come_encoded_with_labels_and_splits(opened, png):
    source = opened("tfds", "tiny_images")
    assert (source.kind, source.classes) == ("images", ("ant", "bee"))
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 12, "test": 4}
    number = {png(i): i for i in range(16)}
    read = [number[source.items[i]] for i in range(16)]
    assert sorted(read[:12]) == list(range(12))
    assert source.labels.tolist() == [i % 2 for i in read]
    assert source.ids[12] == "test:1"
    assert source.items.where(12) == "test, row 1"


def test_the_order_is_that_of_tfds_so_that_slices_are_too(opened, prepared):
    source = opened("tfds", "tiny_images:1.0.0")
    for part, name in ((source.parts["train"][:9], "train[:75%]"), (source.parts["train"][-3:], "train[75%:]")):
        decoders = {"picture": tfds.decode.SkipDecoding()}
        records = tfds.data_source("tiny_images", split=name, decoders=decoders, data_dir=str(prepared))
        assert [source.items[i] for i in part] == [record["picture"] for record in records]


def test_texts_come_with_groups_and_a_split_without_labels_is_left_out(opened):
    source = opened("tfds", "tiny_texts", group="user")
    assert source.kind == "text"
    assert sorted(source.items[i][0] for i in range(6)) == [f"é {i}" for i in range(6)]
    numbers = [int(source.items[i][0][2:]) for i in range(6)]
    assert source.labels.tolist() == [i % 2 for i in numbers]
    assert source.groups == tuple(str(i % 3) for i in numbers)
    assert (list(source.parts), source.facts["unlabelled"]) == (["train"], ("test",))


def test_labels_are_read_once_and_images_again(opened, monkeypatch):
    first = opened("tfds", "tiny_images")
    assert len(list(cache_folder("tables").iterdir())) == 2
    monkeypatch.setattr(origin, "_column", None)
    again = opened("tfds", "tiny_images", skip_limit=7)  # Other settings, so that it is opened afresh.
    assert again is not first
    assert again.digest == first.digest
    assert again.items[3] == first.items[3]


def test_another_process_opens_the_data_set_by_name_without_tensorflow(opened, png, tmp_path):
    items = opened("tfds", "tiny_images").items
    (tmp_path / "items").write_bytes(pickle.dumps(items))
    (tmp_path / "image").write_bytes(items[5])
    program = (
        "import pathlib, pickle, sys; here = pathlib.Path(sys.argv[1]); "
        "items = pickle.loads((here / 'items').read_bytes()); "
        "assert items[5] == (here / 'image').read_bytes(); "
        "assert 'tensorflow' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)


def test_an_empty_image_stays_empty_beside_the_hashes_of_others(png):
    empty, full = origin._column([{"a": b""}, {"a": png(1)}], "a", True).to_pylist()
    assert (empty, len(full)) == (b"", 32)


def test_a_column_that_is_no_image_is_one_line(opened):
    with pytest.raises(InputError, match="'kind' is no image; set data.columns.image"):
        opened("tfds", "tiny_images", image="kind", label="kind")
