"""Testing the best checkpoint beside the last step, and not testing at all."""

import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.runs import read_variables
from tlj.training import loop
from tlj.training.best_state import best_of, best_state
from tlj.training.compiled import initial_state
from tlj.training.initial import start_variables
from tlj.training.loop import train_run
from tlj.training.phase_record import PhaseRecord
from tlj.training.programs import Programs
from tlj.training.run_files import read_metrics, read_predictions
from tlj.training.run_record import RunRecord
from tlj.training.surroundings import Surroundings

KEPT = {"checkpoint": {"every": 0, "best": 1, "latest": 1}, "evaluate": {"every": 3, "best": True}}
# Overshoots, so that the validation loss is lowest before the end.
FAST = {"name": "sgd", "learning_rate": 1.0, "clip_norm": 1.0, "schedule": "constant", "warmup": "0 steps"}


@pytest.fixture(scope="module")
def programs():
    return Programs()


@pytest.fixture(scope="module")
def run(tiny_run, programs, tmp_path_factory):
    directory, setup = tmp_path_factory.mktemp("best"), tiny_run(steps=9, optimizer=FAST, **KEPT)
    return setup, directory, train_run(setup, directory, "hash", Surroundings(programs))


def test_the_best_checkpoint_is_tested_in_the_same_opening_with_the_same_examples(run):
    _, directory, summary = run
    rows = [row for row in read_metrics(directory / "metrics.jsonl") if "validation_loss" in row]
    lowest = min(rows, key=lambda row: row["validation_loss"])
    best = {"step": lowest["step"], "metric": "validation_loss", "value": lowest["validation_loss"]}
    assert (summary["best"], summary["test_opened"]) == (best, 1)
    assert best["step"] < 9
    found, metrics = read_predictions(directory / "predictions.parquet"), summary["metrics"]
    assert set(found) == {"validation", "test", "validation_best", "test_best"}
    assert metrics["validation_best_loss"] == pytest.approx(best["value"], rel=1e-4)
    assert metrics["validation_loss"] == pytest.approx(rows[-1]["validation_loss"], rel=1e-4)
    np.testing.assert_array_equal(found["test_best"][1], found["test"][1])
    assert not np.allclose(found["test_best"][0], found["test"][0])


def test_a_run_killed_after_its_predictions_tells_the_same_best(run, programs, tmp_path):
    setup, directory, summary = run
    (directory / "summary.json").unlink()
    again = train_run(setup, directory, "hash", Surroundings(programs))
    assert {**again, "timing": 0, "cost": 0} == {**summary, "timing": 0, "cost": 0}


def test_the_state_of_the_best_has_its_parameters_on_the_devices_of_the_last(run, programs):
    setup, directory, summary = run
    state = initial_state(setup, setup.phases[0], start_variables(setup)[0], programs)
    step = summary["best"]["step"]
    found = best_state(setup, state, directory, step, 9)
    for ours, theirs in zip(
        jax.tree.leaves(found.params), jax.tree.leaves(read_variables(directory, step)[0]["params"]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert jax.tree.map(lambda a, b: a.sharding == b.sharding, found.params, state.params)
    assert best_state(setup, state, directory, 9, 9) is state


def test_without_a_value_or_its_checkpoint_the_next_or_the_last_step_is_the_best(run):
    setup, directory, summary = run
    step = summary["best"]["step"]
    record = RunRecord(PhaseRecord({}), best=[(4, 0.1), (step, 0.2)])
    assert best_of(setup, record, directory, 9)["step"] == step
    assert best_of(setup, RunRecord(PhaseRecord({})), directory, 9) == {
        "step": 9,
        "metric": "validation_loss",
        "value": None,
    }


def test_a_best_that_none_is_kept_of_is_refused(tiny_run):
    with pytest.raises(InputError, match="config.checkpoint.best: config.evaluate.best is to test"):
        tiny_run(evaluate={"every": 3, "best": True})


def test_a_run_that_is_not_to_be_tested_leaves_the_test_closed(tiny_run, programs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.SealedTest, "open", lambda self: pytest.fail("the test split was opened"))
    setup = tiny_run(steps=3, evaluate={"test": False, "shifts": ["some=digits:7-8"]})
    for _ in range(2):
        summary = train_run(setup, tmp_path, "hash", Surroundings(programs))
        assert summary["test_opened"] == 0
        assert set(read_predictions(tmp_path / "predictions.parquet")) == {"validation"}
        assert {name for name in summary["metrics"] if name != "train_loss"} == {
            "validation_loss",
            "validation_accuracy",
        }
        # Killed between its predictions and its summary.
        (tmp_path / "summary.json").unlink()
