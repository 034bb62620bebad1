"""The predictions file of a run."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.errors import InputError
from tlj.evidence.predictions import read_predictions, read_splits


def logits(rows: int, classes: int = 3) -> np.ndarray:
    return np.arange(rows * classes, dtype=np.float32).reshape(rows, classes)


def test_only_the_rows_of_the_asked_split_are_read(tmp_path, write_predictions_file):
    path = tmp_path / "predictions.parquet"
    write_predictions_file(path, np.array([0, 1, 2, 1]), logits(4), ["test", "validation", "test", "validation"])
    test, validation = read_predictions(path, "test"), read_predictions(path, "validation")
    assert test.labels.tolist() == [0, 2]
    assert test.logits.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert validation.labels.tolist() == [1, 1]


def test_examples_are_sorted_by_id_so_that_files_in_another_order_are_the_same(tmp_path):
    columns = {"id": ["b", "a", "c"], "label": [1, 0, 2], "logits": logits(3).tolist(), "split": ["test"] * 3}
    shuffled = {key: [values[i] for i in (2, 0, 1)] for key, values in columns.items()}
    for name, table in (("one", columns), ("two", shuffled)):
        pq.write_table(pa.table(table), tmp_path / name)
    one, two = read_predictions(tmp_path / "one", "test"), read_predictions(tmp_path / "two", "test")
    assert one.ids.to_pylist() == ["a", "b", "c"]
    assert one.labels.tolist() == [0, 1, 2]
    assert one.logits[0].tolist() == [3, 4, 5]
    assert one.same_examples(two)


def test_other_labels_make_other_examples(tmp_path, write_predictions_file):
    for name, labels in (("one", [0, 1]), ("two", [0, 2])):
        write_predictions_file(tmp_path / name, np.array(labels), logits(2), ["test"] * 2)
    one, two = read_predictions(tmp_path / "one", "test"), read_predictions(tmp_path / "two", "test")
    assert not one.same_examples(two)


def test_a_file_written_in_several_row_groups_is_read_whole(tmp_path, write_predictions_file):
    path = tmp_path / "predictions.parquet"
    write_predictions_file(path, np.arange(9) % 3, logits(9), ["validation"] * 2 + ["test"] * 7)
    pq.write_table(pq.read_table(path), path, row_group_size=2)
    assert read_predictions(path, "test").logits.tolist() == logits(9)[2:].tolist()


def test_a_missing_file_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"predictions\.parquet.*run `tlj compare` again"):
        read_predictions(tmp_path / "predictions.parquet", "test")


def test_a_damaged_file_is_bad_input(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(path, "test")


@pytest.mark.parametrize(
    ("label", "rows", "split", "message"),
    [
        ([0, 3], [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], "test", "label outside its 3 classes"),
        ([0, -1], [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], "test", "label outside its 3 classes"),
        ([0, 1], [[0.0, 1.0, 2.0], [0.0]], "test", "different lengths"),
        ([0, 1], [[], []], "test", "different lengths"),
        ([0, 1], [[0.0, 1.0], [0.0, 1.0]], "validation", "no example of the test split"),
    ],
)
def test_rows_that_do_not_fit_are_bad_input(tmp_path, label, rows, split, message):
    table = {
        "id": ["a", "b"],
        "label": pa.array(label, pa.int32()),
        "logits": pa.array(rows, pa.list_(pa.float32())),
        "split": [split] * 2,
    }
    pq.write_table(pa.table(table), tmp_path / "predictions.parquet")
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / "predictions.parquet", "test")


def write_table(path, label, logits, **columns):
    count = len(logits)
    table = {"id": [f"{i}" for i in range(count)], "label": label, "logits": logits, "split": ["test"] * count}
    pq.write_table(pa.table(table | columns), path)


def test_every_split_is_read_at_once_with_its_groups(tmp_path):
    path = tmp_path / "p.parquet"
    splits, groups = ["test", "shift:dark", "test"], ["a", None, "b"]
    write_table(path, [0, 1, 1], [[0.0, 1.0]] * 3, split=splits, group=groups)
    found = read_splits(path)
    assert set(found) == {"test", "shift:dark"}
    assert found["test"].groups.to_pylist() == ["a", "b"]
    assert found["shift:dark"].groups.to_pylist() == [None]
    write_table(path, [0], [[0.0, 1.0]])
    assert read_splits(path)["test"].groups is None


def test_labels_tell_what_they_are(tmp_path):
    path = tmp_path / "p.parquet"
    write_table(path, pa.array([[1, 0], [1, 1]], pa.list_(pa.int8())), [[0.5, 1.0], [2.0, 3.0]])
    sets = read_predictions(path, "test")
    assert (sets.kind, sets.labels.tolist()) == ("sets", [[1, 0], [1, 1]])
    write_table(path, pa.array([0.5, 2.5], pa.float32()), [[0.25], [2.0]])
    numbers = read_predictions(path, "test")
    assert (numbers.kind, numbers.labels.tolist(), numbers.logits.tolist()) == ("numbers", [0.5, 2.5], [[0.25], [2.0]])


@pytest.mark.parametrize(
    ("label", "rows", "message"),
    [
        (pa.array([[1, 0], [1, 1]], pa.list_(pa.int8())), [[0.5]] * 2, "sets of 2 classes, but 1 logits"),
        (pa.array([[1, 0], [1]], pa.list_(pa.int8())), [[0.5, 0.5]] * 2, "rows of labels of different lengths"),
        (pa.array([0.5, 2.5], pa.float32()), [[0.5, 1.0]] * 2, "2 predictions for each number"),
        (pa.array([0, None], pa.int32()), [[0.5, 1.0]] * 2, "an example without a label"),
    ],
)
def test_labels_of_other_tasks_that_do_not_fit_are_bad_input(tmp_path, label, rows, message):
    write_table(tmp_path / "p.parquet", label, rows)
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / "p.parquet", "test")
