"""The files of runs, read and scored."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.errors import InputError
from tlj.evidence.run_files import RunKey, read_json, read_runs
from tlj.evidence.scores.calibration import fit_temperature


def write_run(directory, path, splits, classes=3):
    """A run whose every split has its own logits; returns them by split."""
    rng, rows, found = np.random.default_rng(len(path)), {"id": [], "label": [], "logits": [], "split": []}, {}
    for split, count in splits.items():
        labels = np.arange(count) % classes
        logits = (rng.normal(size=(count, classes)) + np.eye(classes)[labels]).astype(np.float32)
        found[split] = logits, labels
        rows["id"] += [f"{split.split(':')[0]}-{i:03d}" for i in range(count)]
        rows["label"] += labels.tolist()
        rows["logits"] += logits.tolist()
        rows["split"] += [split] * count
    run = directory / path
    run.mkdir(parents=True)
    table = pa.table(
        rows,
        pa.schema({"id": pa.string(), "label": pa.int32(), "logits": pa.list_(pa.float32())} | {"split": pa.string()}),
    )
    pq.write_table(table, run / "predictions.parquet")
    (run / "summary.json").write_text('{"steps": 7}')
    return found


def test_a_run_is_scored_on_its_test_split_and_scaled_by_its_own_validation(tmp_path):
    found = write_run(tmp_path, "a", {"validation": 20, "test": 60})
    (run,) = read_runs(tmp_path, [RunKey("full", 10, 0, "a")])
    assert run.summary == {"steps": 7}
    assert run.scores.examples == 60
    assert run.scores.accuracy == np.mean(found["test"][0].argmax(1) == found["test"][1])
    assert run.scores.temperature == pytest.approx(fit_temperature(*found["validation"]))
    assert run.scores.best is None


def test_a_run_without_validation_is_not_scaled(tmp_path):
    write_run(tmp_path, "a", {"test": 60})
    scores = read_runs(tmp_path, [RunKey("full", 10, 0, "a")])[0].scores
    assert (scores.temperature, scores.values["nll_scaled"]) == (None, None)
    assert math.isfinite(scores.values["nll"])


def test_the_best_checkpoint_is_scaled_by_its_own_validation_or_else_by_that_of_the_last(tmp_path):
    found = write_run(tmp_path, "a", {"test": 9, "validation": 30, "test_best": 9, "validation_best": 30})
    other = write_run(tmp_path, "bb", {"test": 9, "validation": 30, "test_best": 9})
    one, two = (
        run.scores for run in read_runs(tmp_path, [RunKey("full", 10, s, p) for s, p in enumerate(("a", "bb"))])
    )
    assert one.best.temperature == pytest.approx(fit_temperature(*found["validation_best"]))
    assert one.best.temperature != pytest.approx(one.temperature)
    assert two.best.temperature == pytest.approx(fit_temperature(*other["validation"])) == two.temperature
    assert one.best.accuracy == np.mean(found["test_best"][0].argmax(1) == found["test_best"][1])


def test_details_are_kept_at_the_largest_finished_budget_of_an_arm_alone(tmp_path):
    keys = [RunKey("full", 10, 0, "a"), RunKey("full", 25, 0, "b"), RunKey("scratch", 10, 0, "c")]
    for key in keys:
        write_run(tmp_path, key.path, {"test": 12})
    kept = {(run.key.arm, run.key.budget): bool(run.scores.details) for run in read_runs(tmp_path, keys)}
    assert kept == {("full", 10): False, ("full", 25): True, ("scratch", 10): True}


def test_a_run_without_a_test_example_and_one_with_others_are_bad_input(tmp_path):
    write_run(tmp_path, "a", {"test": 12})
    write_run(tmp_path, "b", {"test": 11})
    write_run(tmp_path, "c", {"validation": 12})
    key = RunKey("full", 10, 0, "a")
    with pytest.raises(InputError, match="b: was scored on other test examples than a"):
        read_runs(tmp_path, [key, replace(key, path="b")])
    with pytest.raises(InputError, match="no example of the test split"):
        read_runs(tmp_path, [key, replace(key, path="c")])


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_file_that_is_no_json_object_is_bad_input(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
