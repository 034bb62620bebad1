import json

import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.freezing.digests import FrozenChangedError
from tlj.pretrained.runs import checkpoint_steps, read_variables
from tlj.training import loop
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.programs import Programs
from tlj.training.run_files import read_metrics
from tlj.training.setup import set_up

RESNET = {
    "family": "resnet",
    "source": "",
    "settings": {
        "stem": "small",
        "stem_width": 8,
        "block": "basic",
        "stage_depths": (1, 1),
        "stage_widths": (8, 16),
    },
}


@pytest.fixture(scope="module")
def programs():
    return Programs()


def lasting(summary):
    return {name: value for name, value in summary.items() if name not in ("timing", "cost")}


def stop_after(steps, programs):
    """Surroundings in which a run is told to stop after so many steps."""
    seen = []

    def on_step(done):
        seen.append(done)
        if sum(seen) == steps:
            shared.stop.set()

    shared = Surroundings(programs, on_step=on_step)
    return shared


def test_a_run_stopped_between_checkpoints_goes_on_to_the_same_end(tiny_run, programs, tmp_path):
    setup = tiny_run(checkpoint={"every": 5}, log={"every": 4}, evaluate={"every": 6})
    whole = train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    with pytest.raises(StoppedError):
        train_run(setup, tmp_path / "cut", "hash", stop_after(13, programs))
    assert checkpoint_steps(tmp_path / "cut") == [5, 10]
    assert not (tmp_path / "cut" / "summary.json").exists()
    resumed = train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))
    assert lasting(resumed) == lasting(whole)
    for ours, theirs in zip(*(jax.tree.leaves(read_variables(tmp_path / n)[0]) for n in ("whole", "cut")), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut")]
    assert [row["step"] for row in rows[1]] == [row["step"] for row in rows[0]]
    assert len({(row["step"], "loss" in row) for row in rows[1]}) == len(rows[1])


def test_a_run_killed_between_its_last_checkpoint_and_its_summary_ends_the_same(tiny_run, programs, tmp_path):
    setup = tiny_run(steps=6)
    whole = train_run(setup, tmp_path, "hash", Surroundings(programs))
    for names in (["summary.json"], ["summary.json", "predictions.parquet"]):
        for name in names:
            (tmp_path / name).unlink()
        assert lasting(train_run(setup, tmp_path, "hash", Surroundings(programs))) == lasting(whole)
    assert whole["test_opened"] == 1


def test_a_run_killed_after_its_test_does_not_open_it_again(tiny_run, programs, tmp_path, monkeypatch):
    setup = tiny_run(steps=3)
    train_run(setup, tmp_path, "hash", Surroundings(programs))
    (tmp_path / "summary.json").unlink()
    monkeypatch.setattr(loop.SealedTest, "open", lambda self: pytest.fail("the test split was opened again"))
    assert train_run(setup, tmp_path, "hash", Surroundings(programs))["test_opened"] == 1


def test_a_run_that_diverges_ends_with_null_losses(tiny_run, tmp_path):
    optimizer = {"name": "sgd", "learning_rate": 1e30, "clip_norm": 0.0, "warmup_steps": 0}
    summary = train_run(tiny_run(steps=4, optimizer=optimizer), tmp_path, "hash", Surroundings())
    assert json.loads((tmp_path / "summary.json").read_text())["metrics"]["test_loss"] is None
    assert summary["metrics"]["test_accuracy"] is not None
    assert [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row] == [None]


def test_a_finished_run_is_left_alone(tiny_run, programs, tmp_path):
    setup = tiny_run(steps=2)
    first = train_run(setup, tmp_path, "hash", Surroundings(programs))
    written = (tmp_path / "summary.json").stat().st_mtime_ns
    assert train_run(setup, tmp_path, "hash", Surroundings(programs)) == first
    assert (tmp_path / "summary.json").stat().st_mtime_ns == written


def test_a_checkpoint_of_another_config_is_refused(tiny_run, programs, tmp_path):
    setup = tiny_run(checkpoint={"every": 2})
    with pytest.raises(StoppedError):
        train_run(setup, tmp_path, "hash", stop_after(3, programs))
    with pytest.raises(InputError, match="the checkpoint of step 2 has another config"):
        train_run(setup, tmp_path, "another hash", Surroundings(programs))


def test_a_checkpoint_of_another_phase_is_refused(tiny_run, programs, tmp_path):
    with pytest.raises(StoppedError):
        train_run(tiny_run(checkpoint={"every": 2}), tmp_path, "hash", stop_after(3, programs))
    probe = tiny_run(strategy="linear_probe", init="scratch")
    with pytest.raises(InputError, match="has another phase"):
        train_run(probe, tmp_path, "hash", Surroundings(programs))


def test_a_run_in_which_something_else_changes_a_frozen_leaf_fails(tiny_run, programs, tmp_path, monkeypatch):
    setup = tiny_run(strategy="linear_probe", init="scratch", steps=3)
    train_phase = loop._train_phase

    def tampering(*arguments):
        state = train_phase(*arguments)
        kernel = state.params["backbone"]["block0"]["mlp"]["up"]["kernel"]
        state.params["backbone"]["block0"]["mlp"]["up"]["kernel"] = kernel.at[0, 0].add(1e-6)
        return state

    monkeypatch.setattr(loop, "_train_phase", tampering)
    with pytest.raises(FrozenChangedError, match="backbone/block0/mlp/up/kernel"):
        train_run(setup, tmp_path, "hash", Surroundings(programs))
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("strategy", ["linear_probe", "last_blocks:1"])
def test_frozen_parameters_and_statistics_of_a_resnet_are_bit_identical_after_a_run(tiny_run, tmp_path, strategy):
    config = tiny_run(strategy=strategy, init="scratch", steps=30).config
    setup = set_up({**config, "model": RESNET}, tmp_path)
    summary = train_run(setup, tmp_path / "run", "hash", Surroundings())
    assert summary["frozen_unchanged"]
    assert summary["never_moved"] == []


def test_the_last_line_of_the_metrics_is_the_last_step(tiny_run, programs, tmp_path):
    train_run(tiny_run(steps=11, log={"every": 4}, evaluate={"every": 5}), tmp_path, "hash", Surroundings(programs))
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [4, 5, 8, 10, 11]
    assert [row["step"] for row in rows if "validation_loss" in row] == [5, 10, 11]
    assert rows[-1]["step"] == 11
    assert set(rows[0]["learning_rate"]) == {"backbone", "head"}
    assert rows[0]["timing"]["step_s"] > 0


def test_the_manifest_says_what_the_run_was_made_of(tiny_run, programs, tmp_path):
    setup = tiny_run(steps=1)
    train_run(setup, tmp_path, "hash", Surroundings(programs))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["config_hash"] == "hash"
    assert manifest["data"]["classes"] == ["5", "6", "7", "8", "9"]
    assert len(manifest["data"]["split"]["train"]) + len(manifest["data"]["split"]["validation"]) == 40
    assert {row["status"] for row in manifest["load_report"]} == {"reset"}
    assert sum(group["parameters"] for group in manifest["phases"][0]["groups"]) == sum(
        leaf.size for leaf in jax.tree.leaves(read_variables(tmp_path)[0]["params"])
    )
    assert set(manifest["phases"][0]["labels"].values()) == {"backbone", "head"}
    assert manifest["versions"]["jax"] == jax.__version__
