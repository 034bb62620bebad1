"""What ends a run before its last step: SIGTERM, which changes nothing that it leaves, and early stopping."""

import json
import shutil

import pytest

from tlj.distributed import PreemptedError
from tlj.errors import RunError
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.training import checkpoints, stretch
from tlj.training.loop import Surroundings, train_run
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import Programs
from tlj.training.run_files import read_metrics

HOT = {"name": "sgd", "learning_rate": 1e30, "clip_norm": 0.0, "warmup": "0 steps"}


@pytest.fixture(scope="module")
def programs():
    return Programs()


def notices_at(monkeypatch, *steps):
    monkeypatch.setattr(stretch, "stop_requested", lambda step: step in steps)


def assert_same(directory, expected):
    ours, theirs = (json.loads((run / "summary.json").read_text()) for run in (directory, expected))
    assert {**ours, "timing": None, "cost": None} == {**theirs, "timing": None, "cost": None}
    ours, theirs = (
        [{**row, "timing": None} for row in read_metrics(run / "metrics.jsonl")] for run in (directory, expected)
    )
    assert ours == theirs


@pytest.mark.parametrize("per_call", [1, 2])
def test_a_notice_in_the_middle_of_a_window_changes_no_row_and_no_number(
    tiny_run, programs, tmp_path, monkeypatch, per_call
):
    rarely = {"log": {"every": 8}, "evaluate": {"every": 0}, "checkpoint": {"every": 0}}
    setup = tiny_run(steps=20, steps_per_call=per_call, **rarely)
    train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    for step in (6, 8, 18):
        notices_at(monkeypatch, step)
        with pytest.raises(PreemptedError, match=f"stopped at step {step} by SIGTERM"):
            train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))
        assert checkpoint_steps(tmp_path / "cut")[-1] == step
    notices_at(monkeypatch)
    train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_updates_left_out_before_a_notice_are_counted_once(tiny_run, tmp_path, monkeypatch):
    setup = tiny_run(on_nan="skip", steps=12, log={"every": 12}, optimizer=HOT)
    whole = train_run(setup, tmp_path / "whole", "hash", Surroundings())
    assert whole["skipped_updates"]
    notices_at(monkeypatch, 11)
    with pytest.raises(PreemptedError):
        train_run(setup, tmp_path / "cut", "hash", Surroundings())
    notices_at(monkeypatch)
    train_run(setup, tmp_path / "cut", "hash", Surroundings())
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_loss_that_is_not_finite_at_a_notice_stops_the_run_as_ever(tiny_run, tmp_path, monkeypatch):
    notices_at(monkeypatch, 11)
    with pytest.raises(NonFiniteError):
        train_run(tiny_run(steps=12, log={"every": 12}, optimizer=HOT), tmp_path, "hash", Surroundings())
    assert checkpoint_steps(tmp_path) == []


def test_a_notice_whose_checkpoint_cannot_be_written_is_not_told_as_saved(tiny_run, programs, tmp_path, monkeypatch):
    def full(folder, metadata):
        raise OSError(28, "No space left on device")

    notices_at(monkeypatch, 3)
    monkeypatch.setattr(checkpoints, "take_inventory", full)
    with pytest.raises(RunError, match="the checkpoint of step 3 could not be written"):
        train_run(tiny_run(steps=6), tmp_path, "hash", Surroundings(programs))


def test_a_notice_at_the_last_step_lets_the_run_end(tiny_run, programs, tmp_path, monkeypatch):
    notices_at(monkeypatch, 6)
    assert train_run(tiny_run(steps=6), tmp_path, "hash", Surroundings(programs))["steps"] == 6


def test_early_stopping_waits_on_over_notices_and_anew_after_a_thaw(tiny_run, programs, tmp_path, monkeypatch):
    stopping = {"metric": "validation_loss", "patience": 4, "min_delta": 100.0}
    rarely = {"checkpoint": {"every": 0}, "evaluate": {"every": 2}}
    setup = tiny_run(strategy="lp_ft:6", init="scratch", steps=40, early_stopping=stopping, **rarely)
    whole = train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    # Only the first validation counts as better; the thaw at 6 is followed by four more.
    assert whole["stopped_at"] == 14
    for step in (5, 7, 11):
        notices_at(monkeypatch, step)
        with pytest.raises(PreemptedError):
            train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))
    notices_at(monkeypatch)
    train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_early_stopping_ends_a_run_with_a_checkpoint_and_a_summary_of_what_was_done(tiny_run, programs, tmp_path):
    stopping = {"metric": "validation_loss", "patience": 2, "min_delta": 100.0}
    setup = tiny_run(steps=40, evaluate={"every": 3}, early_stopping=stopping)
    summary = train_run(setup, tmp_path / "run", "hash", Surroundings(programs))
    # The first validation is the best; none is better by so much.
    assert (summary["stopped_at"], summary["steps"]) == (9, 40)
    assert summary["phases"][0]["steps"] == 9
    assert checkpoint_steps(tmp_path / "run") == [9]
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 9
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    (tmp_path / "again" / "summary.json").unlink()
    train_run(setup, tmp_path / "again", "hash", Surroundings(programs))
    assert_same(tmp_path / "again", tmp_path / "run")


def test_a_run_that_has_waited_long_enough_at_its_last_step_was_not_stopped(tiny_run, programs, tmp_path):
    stopping = {"metric": "validation_loss", "patience": 1, "min_delta": 100.0}
    setup = tiny_run(steps=6, evaluate={"every": 3}, early_stopping=stopping)
    assert train_run(setup, tmp_path, "hash", Surroundings(programs))["stopped_at"] is None
