"""A comparison, read from its files."""

import json
import time

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.evidence.runs import read_comparison


def test_every_run_of_a_finished_comparison_is_read(comparison_directory):
    comparison = read_comparison(comparison_directory)
    assert len(comparison.runs) == 150
    assert comparison.missing == ()
    assert comparison.budgets == (10, 25, 50, 100, 200, 538)
    assert comparison.test_examples == 359
    assert sorted(comparison.cell("full", 25)) == [0, 1, 2, 3, 4]
    assert comparison.manifest["versions"]["jax"] == "0.10.2"


def test_reading_150_runs_takes_well_under_two_seconds(comparison_directory):
    start = time.perf_counter()
    read_comparison(comparison_directory)
    assert time.perf_counter() - start < 2.0


def test_arms_know_their_role(comparison_directory):
    roles = {arm.name: arm.role for arm in read_comparison(comparison_directory).arms}
    assert roles == {
        "scratch": "twin",
        "linear_probe": "transfer",
        "last_blocks:1": "transfer",
        "full": "transfer",
        "full@mean_var": "control",
    }


def test_an_arm_without_an_init_starts_where_its_strategy_does(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", arms=("scratch", "full"), budgets=(10,), seeds=(0,))
    declared = json.loads((directory / "comparison.json").read_text())
    for arm in declared["arms"]:
        arm["init"] = ""
    declared["arms"].append({"arm": "scratch@other", "strategy": "scratch", "init": ""})
    (directory / "comparison.json").write_text(json.dumps(declared))
    assert [arm.role for arm in read_comparison(directory).arms] == ["twin", "transfer", "control"]


def test_scores_are_those_of_the_test_split_alone(comparison_directory):
    scores = read_comparison(comparison_directory).cell("scratch", 538)[0]
    assert scores.examples == 359
    assert scores.accuracy * 359 == pytest.approx(round(scores.accuracy * 359))
    assert 0.9 < scores.accuracy < 0.99


def test_unfinished_runs_are_listed_and_not_fatal(make_comparison, tmp_path):
    directory = make_comparison(
        tmp_path / "c", budgets=(10, 25), seeds=(0, 1), unfinished=lambda arm, budget, seed: (budget, seed) == (25, 1)
    )
    comparison = read_comparison(directory)
    assert len(comparison.runs) == 15
    assert [(key.arm, key.budget, key.seed) for key in comparison.missing[:2]] == [
        ("scratch", 25, 1),
        ("linear_probe", 25, 1),
    ]
    assert sorted(comparison.cell("full", 25)) == [0]


def test_a_run_directory_without_a_summary_is_unfinished(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", budgets=(10,), seeds=(0, 1))
    (directory / "runs/full/10/1/summary.json").unlink()
    assert [(key.arm, key.seed) for key in read_comparison(directory).missing] == [("full", 1)]


def test_a_comparison_without_a_finished_run_can_be_read(make_comparison, tmp_path):
    comparison = read_comparison(make_comparison(tmp_path / "c", unfinished=lambda *key: True, step_time=False))
    assert comparison.runs == ()
    assert len(comparison.missing) == 150
    assert (comparison.test_examples, comparison.manifest, comparison.step_time) == (None, None, None)


def test_a_directory_that_is_no_comparison_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"not a comparison.*--workdir"):
        read_comparison(tmp_path)
    with pytest.raises(InputError, match="not a comparison"):
        read_comparison(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_damaged_comparison_file_is_bad_input(tmp_path, text):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(InputError, match=r"comparison\.json"):
        read_comparison(tmp_path)


def test_a_comparison_file_that_lacks_keys_names_them_all(tmp_path):
    (tmp_path / "comparison.json").write_text('{"task": "t", "metric": "accuracy", "margin": 0.005, "runs": []}')
    with pytest.raises(InputError, match="lacks twin, arms, budgets, seeds"):
        read_comparison(tmp_path)


def test_a_twin_that_is_no_arm_is_bad_input(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", budgets=(10,), seeds=(0,))
    declared = json.loads((directory / "comparison.json").read_text()) | {"twin": "scrath"}
    (directory / "comparison.json").write_text(json.dumps(declared))
    with pytest.raises(InputError, match="did you mean 'scratch'"):
        read_comparison(directory)


@pytest.mark.parametrize("path", ["/etc", "runs/../../elsewhere"])
def test_a_run_path_that_leaves_the_comparison_is_bad_input(make_comparison, tmp_path, path):
    directory = make_comparison(tmp_path / "c", budgets=(10,), seeds=(0,))
    declared = json.loads((directory / "comparison.json").read_text())
    declared["runs"][0]["path"] = path
    (directory / "comparison.json").write_text(json.dumps(declared))
    with pytest.raises(InputError, match="leaves the comparison"):
        read_comparison(directory)


def test_runs_scored_on_other_test_examples_are_bad_input(make_comparison, tmp_path, write_predictions_file):
    directory = make_comparison(tmp_path / "c", budgets=(10,), seeds=(0, 1))
    labels = np.zeros(7, np.int32)
    path = directory / "runs/full/10/1/predictions.parquet"
    write_predictions_file(path, labels, np.zeros((7, 5), np.float32), ["test"] * 7)
    with pytest.raises(InputError, match=r"runs/full/10/1: was scored on other test examples"):
        read_comparison(directory)


def test_a_run_that_failed_twice_is_told_apart_from_one_that_is_missing(make_comparison, tmp_path):
    directory = make_comparison(
        tmp_path / "c", arms=("scratch",), budgets=(10,), seeds=(0, 1, 2), accuracies={"scratch": (0.5,)},
        unfinished=lambda arm, budget, seed: seed > 0,
    )  # fmt: skip
    for seed, attempts in ((1, 2), (2, 1)):
        run = directory / "runs" / "scratch" / "10" / str(seed)
        run.mkdir(parents=True)
        (run / "failed.json").write_text(json.dumps({"attempts": attempts, "error": "NonFiniteError: step 3"}))
    (directory / "ended.json").write_text('{"reason": "the date has come"}')
    comparison = read_comparison(directory)
    assert [(key.seed, why) for key, why in comparison.failed] == [(1, "NonFiniteError: step 3")]
    assert [key.seed for key in comparison.missing] == [2]
    assert comparison.ended == "the date has come"
