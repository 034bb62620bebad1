"""The screening table of a comparison."""

import json

import numpy as np
import pytest

from tlj.evidence.runs import read_comparison
from tlj.evidence.screening.table import screening

CELLS = [
    {"arm": "scratch", "budget": 25, "mean": 0.6},
    {"arm": "linear_probe", "budget": 25, "mean": 0.9},
    {"arm": "full", "budget": 25, "mean": 0.8},
    {"arm": "full@mean_var", "budget": 25, "mean": 0.7},
    {"arm": "full@mean_var", "budget": 10, "mean": 0.99},
]


def table(directory, cells=CELLS):
    found = screening(read_comparison(directory), cells)
    json.dumps(found, allow_nan=False)
    return found


def test_a_comparison_that_was_not_screened_has_no_table(comparison_directory):
    assert screening(read_comparison(comparison_directory), CELLS) is None


def test_every_init_is_scored_and_stands_beside_its_best_arm(screened):
    found = table(screened())
    rows = {row["init"]: row for row in found["inits"]}
    assert rows["pretrained"]["result"] == {"arm": "linear_probe", "budget": 25, "mean": 0.9}
    assert rows["scratch"]["result"] == {"arm": "scratch", "budget": 25, "mean": 0.6}
    for score in ("neighbours", "probe", "logme", "h_score"):
        assert rows["pretrained"][score] > rows["mean_var"][score] > rows["scratch"][score]
        assert found["agreement"][score] == pytest.approx(1)
    assert (found["examples"], found["pool"], found["majority"]) == (60, 538, pytest.approx(1 / 3))


def test_what_was_not_kept_is_told_also_where_nothing_was(screened):
    directory = screened()
    for name in ("mean_var", "scratch", "source"):
        (directory / "screening" / f"{name}.npz").unlink()
    found = table(directory)
    assert found["missing"] == ["mean_var", "scratch", "source"]
    assert ([row["init"] for row in found["inits"]], found["source"]) == (["pretrained"], None)
    (directory / "screening" / "pretrained.npz").unlink()
    found = table(directory)
    assert (found["inits"], found["missing"]) == ([], ["mean_var", "pretrained", "scratch", "source"])


def test_scores_that_rank_otherwise_do_not_agree(screened):
    found = table(screened({"mean_var": 0.8, "pretrained": 0.1, "scratch": 2.0}))
    assert list(found["agreement"].values()) == pytest.approx([-1] * 4)


def test_results_are_of_a_budget_that_every_init_has(screened):
    cells = [*CELLS[:3], CELLS[4], *({"arm": arm, "budget": 10, "mean": 0.1} for arm in ("scratch", "full"))]
    rows = table(screened(), cells)["inits"]
    assert {row["result"]["budget"] for row in rows} == {10}


def test_without_results_there_are_scores_alone(screened):
    found = table(screened(), [])
    assert all(row["result"] is None and row["logme"] is not None for row in found["inits"])
    assert set(found["agreement"].values()) == {None}


def test_two_inits_are_too_few_for_agreement(screened):
    assert set(table(screened({"pretrained": 1.0, "scratch": 0.2}))["agreement"].values()) == {None}


def test_the_distance_from_the_source_is_of_the_pretrained_features(screened):
    source = table(screened())["source"]
    assert source["data"] == "digits:0-4"
    assert source["distance"] == pytest.approx(2 * (1 - 2 * source["error"]))
    assert 0.5 < source["distance"] <= 2


@pytest.mark.parametrize(
    ("features", "labels", "problem"),
    [
        (np.full((60, 8), np.nan), np.arange(60) % 3, "not finite"),
        (np.ones((60, 8)), np.linspace(0, 1, 60), "no classes"),
        (np.ones((60, 8)), np.zeros((60, 4), np.int8), "no classes"),
        (np.ones((60, 8)), np.zeros(60, np.int32), "one class"),
    ],
)
def test_what_cannot_be_scored_says_why(screened, feature_file, features, labels, problem):
    directory = screened()
    for name in ("mean_var", "pretrained", "scratch"):
        feature_file(directory / "screening" / f"{name}.npz", features, labels)
    found = table(directory)
    assert all(problem in row["problem"] and row["probe"] is None for row in found["inits"])


def test_drift_is_passed_on_and_stands_alone_where_there_are_no_features(screened):
    directory = screened()
    assert [row["arm"] for row in table(directory)["drift"]["arms"]] == ["scratch", "full"]
    (directory / "screening" / "screening.json").unlink()
    found = table(directory)
    assert (found["inits"], found["drift"]["budget"]) == ([], 538)
    assert "hash" not in found["drift"]


def test_the_same_files_give_the_same_numbers(screened):
    directory = screened()
    assert table(directory) == table(directory)
