"""Labels of every kind, from tables of every kind to a source."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from tests.data.origins.tiny_tfds import build
from tlj.data import sources
from tlj.data.origins.label_column import parts_without_labels
from tlj.errors import InputError

SETS = [["cat", "dog"], [], ["bird"], ["dog"]]
MATRIX = [[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]]


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_same_sets_come_from_lists_and_from_names_between_bars(opened, written, tmp_path):
    rows = [{"text": f"t {i}", "label": members} for i, members in enumerate(SETS)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    files = {
        "jsonl": written("a.jsonl", as_lines(rows)),
        "parquet": tmp_path / "a.parquet",
        "csv": written("a.csv", "text,label\n" + "".join(f"t {i},{'|'.join(m)}\n" for i, m in enumerate(SETS))),
        "tsv": written("a.tsv", "text\tlabel\n" + "".join(f"t {i}\t{'|'.join(m)}\n" for i, m in enumerate(SETS))),
    }
    for kind, file in files.items():
        source = opened(kind, file, task="multilabel")
        assert (source.classes, source.labels.tolist()) == (("bird", "cat", "dog"), MATRIX), kind
        assert source.labels.dtype == np.int8


def test_a_data_set_of_huggingface_names_the_classes_of_its_lists(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    datasets.disable_progress_bars()
    names = datasets.ClassLabel(names=["dog", "cat", "bird"])
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Sequence(names)})
    columns = {"text": ["a", "b", "c"], "label": [[0, 1], [], [2]]}
    saved = datasets.Dataset.from_dict(columns, features=features)
    saved.save_to_disk(str(tmp_path / "saved"))
    saved.to_parquet(str(tmp_path / "a.parquet"))
    for kind, place in (("hf", "saved"), ("parquet", "a.parquet")):
        source = opened(kind, tmp_path / place, task="multilabel")
        assert source.classes == ("dog", "cat", "bird")
        assert source.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_a_data_set_of_tfds_may_have_lists_of_classes_and_numbers(opened, tmp_path, monkeypatch):
    features = {
        "text": tfds.features.Text(),
        "label": tfds.features.Sequence(tfds.features.ClassLabel(names=["ant", "bee"])),
        "score": tfds.features.Scalar(np.float32),
    }
    rows = [{"text": f"t {i}", "label": [0, 1][: i % 3], "score": i / 4} for i in range(4)]
    build(tmp_path, "tiny_sets", features, {"train": rows})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    wanted = {f"t {i}": i for i in range(4)}
    source = opened("tfds", "tiny_sets", task="multilabel")
    order = [wanted[source.items[i][0]] for i in range(4)]
    assert source.classes == ("ant", "bee")
    assert source.labels.tolist() == [[[0, 0], [1, 0], [1, 1], [0, 0]][i] for i in order]
    assert opened("tfds", "tiny_sets", task="regression", label="score").labels.tolist() == [i / 4 for i in order]


def test_numbers_come_from_text_and_from_numbers(opened, written, tmp_path):
    numbers = [0.5, -3.0, 12.0]
    rows = [{"text": f"t {i}", "label": number} for i, number in enumerate(numbers)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    files = {
        "jsonl": written("a.jsonl", as_lines(rows)),
        "parquet": tmp_path / "a.parquet",
        "csv": written("a.csv", "text,label\n" + "".join(f"t {i},{n}\n" for i, n in enumerate(numbers))),
    }
    for kind, file in files.items():
        source = opened(kind, file, task="regression")
        assert (source.classes, source.labels.tolist(), source.labels.dtype) == ((), numbers, np.float32), kind


def test_an_example_without_a_usable_label_is_an_error_or_is_left_out(opened, written):
    file = written("a.csv", "text,label\na,1.5\nb,often\nc,2\n")
    with pytest.raises(InputError, match="a.csv, row 3: the label 'often' is no number"):
        opened("csv", file, task="regression")
    with pytest.warns(UserWarning, match="left out because they cannot be read: 1"):
        assert opened("csv", file, task="regression", on_error="skip").labels.tolist() == [1.5, 2.0]


def test_a_list_is_no_single_label(opened, written, tmp_path):
    with pytest.raises(InputError, match="'label' is .*, not one value"):
        opened("jsonl", written("a.jsonl", as_lines([{"text": "t", "label": ["a", "b"]}])))
    pq.write_table(pa.table({"text": ["t"], "label": [["a"]]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="give one label a row, or set config.task to multilabel"):
        opened("parquet", tmp_path / "a.parquet")


@pytest.mark.parametrize("empty", [[], "", None])
def test_a_test_split_whose_sets_are_all_missing_or_empty_has_no_labels(opened, written, empty):
    rows = [{"text": "a", "label": ["x"]}, {"text": "b", "label": []}, {"text": "c", "label": ["x", "y"]}]
    file = written("d/train.jsonl", as_lines(rows))
    written("d/test.jsonl", as_lines([{"text": "a", "label": empty}, {"text": "b", "label": empty}]))
    source = opened("jsonl", file.parent, task="multilabel")
    assert source.facts["unlabelled"] == ("test",)
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 3}
    assert source.labels.tolist() == [[1, 0], [0, 0], [1, 1]]


def test_minus_one_all_over_a_split_is_no_number_but_in_training_too_it_is():
    codes, parts = np.array([0, 1, 2, 2]), {"train": np.array([0, 1]), "test": np.array([2, 3])}
    assert parts_without_labels([0.5, 3.0, -1.0], codes, parts, "regression") == ("test",)
    parts = {"train": np.array([0, 1, 2]), "test": np.array([3])}
    assert parts_without_labels([0.5, 3.0, -1.0], codes, parts, "regression") == ()


def test_other_labels_make_another_digest_whatever_the_task(opened, written):
    texts = {"a": "1", "b": "0"}
    digests = set()
    for task, swaps in (("multiclass", 0), ("multiclass", 1), ("multilabel", 0), ("regression", 0), ("regression", 1)):
        labels = dict(zip(texts, list(texts.values())[:: -1 if swaps else 1], strict=True))
        file = written("a.csv", "text,label\n" + "".join(f"{t},{label}\n" for t, label in labels.items()))
        digests.add(opened("csv", file, task=task, label="label", group="").digest)
        sources._open.cache_clear()
    assert len(digests) == 5
