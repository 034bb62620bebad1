import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.errors import InputError, RunError
from tlj.training.run_files import (
    MetricsLog,
    full_disk_told,
    read_metrics,
    read_predictions,
    write_json,
    write_predictions,
)


def test_a_json_file_is_whole_or_old_when_the_content_cannot_be_written(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_what_is_not_finite_is_null(tmp_path):
    write_json(tmp_path / "a.json", {"loss": float("nan"), "rows": [{"norm": float("inf")}, 1.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "rows": [{"norm": None}, 1.5]}
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    log.write({"step": 1, "loss": float("inf")})
    log.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": None}]


def test_a_restart_keeps_the_lines_up_to_its_step_and_no_others(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in (5, 10, 15, 20):
        log.write({"step": step, "loss": 1.0})
    log.close()
    log = MetricsLog(path, 10)
    log.write({"step": 15, "loss": 2.0})
    log.close()
    assert [(row["step"], row["loss"]) for row in read_metrics(path)] == [(5, 1.0), (10, 1.0), (15, 2.0)]


def test_a_line_cut_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5}\n{"step": 1')
    assert read_metrics(path) == [{"step": 5}]
    MetricsLog(path, 7).close()
    assert path.read_text() == '{"step": 5}\n'


@pytest.mark.parametrize("line", ['{"st', "[]", '"step"', "{}", "\0\0\0", '{"step": null}', "\x85"])
def test_a_line_that_nothing_of_tlj_wrote_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 5}}\n{line}\n{{"step": 6}}\n')
    for read in (read_metrics, lambda path: MetricsLog(path, 7)):
        with pytest.raises(InputError, match="metrics.jsonl: line 2 is no row of metrics"):
            read(path)
    MetricsLog(path, 0).close()
    assert read_metrics(path) == []


def test_a_full_disk_is_told_in_a_line_and_other_errors_as_they_are(tmp_path):
    with pytest.raises(RunError, match="run: no space left on the disk"), full_disk_told(tmp_path / "run"):
        raise OSError(28, "No space left on device")
    with pytest.raises(PermissionError), full_disk_told(tmp_path / "run"):
        raise PermissionError(13, "Permission denied")


def test_a_fresh_run_starts_with_an_empty_log(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5}\n')
    MetricsLog(path, 0).close()
    assert read_metrics(path) == []


def test_lines_are_on_disk_before_the_log_is_closed(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    log.write({"step": 1})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}]
    log.close()


def test_predictions_come_back_as_they_were(tmp_path):
    logits = np.array([[0.1, -2.5], [3.0, 1e-30]], np.float32)
    write_predictions(tmp_path / "p.parquet", ["a", "b"], np.array([1, 0]), logits, ["validation", "test"])
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    np.testing.assert_array_equal(np.array(table["logits"], np.float32), logits)
    assert (table["id"], table["label"], table["split"]) == (["a", "b"], [1, 0], ["validation", "test"])
    assert table["group"] == [None, None]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.array([1, 0], np.int32), pa.int32()),
        (np.array([0.25, -3], np.float32), pa.float32()),
        (np.array([[1, 0, 1], [0, 0, 0]], np.int8), pa.list_(pa.int8())),
    ],
)
def test_labels_of_every_kind_come_back_by_split(tmp_path, labels, kind):
    logits = np.array([[0.5, 1], [2, 3]], np.float32)
    write_predictions(tmp_path / "p.parquet", ["a", "b"], labels, logits, ["validation", "test"])
    field = pq.read_schema(tmp_path / "p.parquet").field("label").type
    assert field == kind or field.value_type == kind.value_type
    found = read_predictions(tmp_path / "p.parquet")
    for row, part in enumerate(("validation", "test")):
        np.testing.assert_array_equal(found[part][0], logits[row : row + 1])
        np.testing.assert_array_equal(found[part][1], labels[row : row + 1])
        assert found[part][1].dtype == labels.dtype
