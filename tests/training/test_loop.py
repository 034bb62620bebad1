import json

import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.freezing.digests import FrozenChangedError, leaf_digests
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.restore import restore
from tlj.pretrained.runs import read_variables
from tlj.training import loop
from tlj.training.inputs import evaluation_inputs
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import Programs, count_compilations
from tlj.training.run_files import read_metrics, read_predictions


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


# After the second step the weights are so large that every loss is not a number.
HOT = {"name": "sgd", "learning_rate": 1e30, "clip_norm": 0.0, "warmup": "0 steps"}


def test_a_run_that_diverges_stops_at_its_step_and_says_so(tiny_run, tmp_path):
    setup = tiny_run(steps=4, optimizer=HOT, checkpoint={"every": 1})
    with pytest.raises(NonFiniteError, match="step 2 is not finite.*the checkpoint of step 1 is as it was"):
        train_run(setup, tmp_path, "hash", Surroundings())
    assert json.loads((tmp_path / "non_finite.json").read_text())["step"] == 2
    assert checkpoint_steps(tmp_path) == [1]
    assert not (tmp_path / "summary.json").exists()


def test_a_run_that_is_to_skip_what_is_not_finite_goes_on_and_counts_it(tiny_run, tmp_path):
    setup = tiny_run(steps=4, optimizer=HOT, on_nan="skip", log={"every": 2})
    summary = train_run(setup, tmp_path, "hash", Surroundings())
    assert summary["skipped_updates"] == 3
    windows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    assert [(row["step"], row["skipped"], row["loss"] is None) for row in windows] == [(2, 1, False), (4, 2, True)]
    assert json.loads((tmp_path / "summary.json").read_text())["metrics"]["test_loss"] is None


def test_the_best_checkpoints_are_written_when_they_are_validated_and_kept(tiny_run, programs, tmp_path):
    setup = tiny_run(steps=20, evaluate={"every": 2}, checkpoint={"every": 0, "latest": 1, "best": 2})
    train_run(setup, tmp_path, "hash", Surroundings(programs))
    losses = {
        row["step"]: row["validation_loss"]
        for row in read_metrics(tmp_path / "metrics.jsonl")
        if "validation_loss" in row
    }
    best = sorted(losses, key=lambda step: (losses[step], step))[:2]
    assert set(checkpoint_steps(tmp_path)) == {*best, 20}


def test_a_run_can_be_judged_by_its_moving_average(tiny_run, programs, tmp_path):
    setup = tiny_run(steps=6, optimizer={"ema": 0.5}, evaluate={"ema": True})
    metrics = train_run(setup, tmp_path, "hash", Surroundings(programs))["metrics"]
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["validation_loss"] == metrics["validation_loss"]
    average, last = (restore(tmp_path, ema=ema)["head"]["kernel"] for ema in (True, False))
    assert np.abs(average - last).max() > 1e-6
    np.testing.assert_array_equal(restore(tmp_path)["head"]["kernel"], average)
    variables = restore(tmp_path, statistics=True)
    batch = setup.reader.batch(setup.split.test[:8])
    logits = setup.module.apply(variables, evaluation_inputs(batch, setup.preprocessing))
    told, _ = read_predictions(tmp_path / "predictions.parquet")["test"]
    np.testing.assert_allclose(told[:8], logits, atol=1e-5)


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
        state = yield from train_phase(*arguments)
        kernel = state.params["backbone"]["block0"]["mlp"]["up"]["kernel"]
        state.params["backbone"]["block0"]["mlp"]["up"]["kernel"] = kernel.at[0, 0].add(1e-6)
        return state

    monkeypatch.setattr(loop, "_train_phase", tampering)
    with pytest.raises(FrozenChangedError, match="backbone/block0/mlp/up/kernel"):
        train_run(setup, tmp_path, "hash", Surroundings(programs))
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("strategy", ["linear_probe", "last_blocks:1"])
def test_frozen_parameters_and_statistics_of_a_resnet_are_bit_identical_after_a_run(tiny_run, tmp_path, strategy):
    setup = tiny_run("resnet", strategy=strategy, init="scratch", steps=30)
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


def variables_at(run, step=None):
    return leaf_digests(read_variables(run, step)[0])


def test_what_is_frozen_at_first_is_bit_identical_until_it_thaws_and_then_moves(tiny_run, programs, tmp_path):
    setup = tiny_run(strategy="lp_ft:5", init="scratch", steps=12, checkpoint={"every": 1, "latest": 12})
    summary = train_run(setup, tmp_path, "hash", Surroundings(programs))
    backbone = [path for path in variables_at(tmp_path) if path.startswith("params/backbone/")]
    at = {step: variables_at(tmp_path, step) for step in (1, 5, 6, 12)}
    assert all(at[1][path] == at[5][path] for path in backbone)
    assert all(at[5][path] != at[6][path] for path in backbone)
    assert [(phase["start"], phase["steps"]) for phase in summary["phases"]] == [(0, 5), (5, 7)]
    assert summary["phases"][0]["trained"] == 16 * 5 + 5
    assert summary["phases"][1]["trained"] == summary["parameters"]["total"] == summary["parameters"]["trained"]
    assert summary["phases"][0]["flops_per_step"] < 0.5 * summary["phases"][1]["flops_per_step"]
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    assert [row["phase"] for row in rows] == [0] * 5 + [1] * 7
    assert [set(row["learning_rate"]) for row in rows] == [{"head"}] * 5 + [{"backbone", "head"}] * 7


@pytest.mark.parametrize("strategy", ["lp_ft:10", "freeze_out:0.7"])
@pytest.mark.parametrize("stopped", [9, 10, 13])
def test_a_run_of_several_phases_stopped_anywhere_goes_on_to_the_same_end(
    tiny_run, programs, tmp_path, strategy, stopped
):
    # Checkpoints fall before, on and after the start of a phase of either strategy.
    setup = tiny_run(strategy=strategy, init="scratch", checkpoint={"every": 5}, log={"every": 4})
    whole = train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    assert len(whole["phases"]) > 1
    with pytest.raises(StoppedError):
        train_run(setup, tmp_path / "cut", "hash", stop_after(stopped, programs))
    resumed = train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))
    assert lasting(resumed) == lasting(whole)
    assert variables_at(tmp_path / "cut") == variables_at(tmp_path / "whole")


def test_a_phase_that_waits_for_a_plateau_starts_after_it_and_after_the_same_steps_once_resumed(
    tiny_run, programs, tmp_path
):
    # No loss is lower by a thousand, so that the first validation is the lowest and the second and third are waited.
    changes = dict(strategy="lp_ft", init="scratch", evaluate={"every": 3}, checkpoint={"every": 3})
    setup = tiny_run(**changes, plateau={"patience": 2, "min_delta": 1000.0})
    whole = train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    assert [(phase["start"], phase["steps"]) for phase in whole["phases"]] == [(0, 9), (9, 15)]
    with pytest.raises(StoppedError):
        train_run(setup, tmp_path / "cut", "hash", stop_after(7, programs))
    assert lasting(train_run(setup, tmp_path / "cut", "hash", Surroundings(programs))) == lasting(whole)


def test_a_plateau_that_never_comes_leaves_the_run_in_its_first_phase(tiny_run, programs, tmp_path):
    setup = tiny_run(strategy="lp_ft", init="scratch", evaluate={"every": 3}, plateau={"patience": 6})
    summary = train_run(setup, tmp_path, "hash", Surroundings(programs))
    assert [(phase["start"], phase["steps"]) for phase in summary["phases"]] == [(0, 24)]
    assert summary["parameters"]["trained"] == 16 * 5 + 5
    assert summary["frozen_unchanged"]


def test_a_frozen_leaf_that_changes_in_an_early_phase_fails_the_run_when_that_phase_ends(
    tiny_run, programs, tmp_path, monkeypatch
):
    setup = tiny_run(strategy="lp_ft:4", init="scratch", steps=8)
    train_phase = loop._train_phase

    def tampering(run, state):
        assert run.record.phase.index == 0, "the next phase was begun"
        state = yield from train_phase(run, state)
        kernel = state.params["backbone"]["block0"]["mlp"]["up"]["kernel"]
        state.params["backbone"]["block0"]["mlp"]["up"]["kernel"] = kernel.at[0, 0].add(1e-6)
        return state

    monkeypatch.setattr(loop, "_train_phase", tampering)
    with pytest.raises(FrozenChangedError, match="backbone/block0/mlp/up/kernel"):
        train_run(setup, tmp_path, "hash", Surroundings(programs))


def test_a_run_with_adapting_norms_moves_statistics_and_no_weight(tiny_run, tmp_path):
    groups = {"frozen": {"norm_mode": "adapt"}}
    setup = tiny_run("resnet", strategy="linear_probe", init="scratch", groups=groups, steps=6,
                     checkpoint={"every": 1, "latest": 6})  # fmt: skip
    assert train_run(setup, tmp_path, "hash", Surroundings())["frozen_unchanged"]
    first, last = variables_at(tmp_path, 1), variables_at(tmp_path, 6)
    moved = {path for path in first if first[path] != last[path]}
    assert moved == {"params/head/kernel", "params/head/bias", *(p for p in first if p.startswith("batch_stats/"))}


def test_a_restart_at_the_end_of_a_phase_does_not_compile_that_phase_again(tiny_run, programs, tmp_path):
    setup = tiny_run(strategy="lp_ft:4", init="scratch", steps=8, checkpoint={"every": 4})
    whole = train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    with pytest.raises(StoppedError):
        train_run(setup, tmp_path / "cut", "hash", stop_after(4, programs))
    with count_compilations() as compiled:
        resumed = train_run(setup, tmp_path / "cut", "hash", Surroundings(Programs()))
    assert compiled["train_step"] == 1
    assert lasting(resumed) == lasting(whole)
