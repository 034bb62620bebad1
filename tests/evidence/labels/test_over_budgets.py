"""What a comparison says over all its label budgets, as data."""

import json

import pytest

from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary


@pytest.fixture(scope="module")
def summary(comparison_directory):
    return build_summary(read_comparison(comparison_directory))


def test_every_key_is_there_and_plain(summary):
    keys = ("negative_transfer", "crossover", "aulc", "labels_to_target", "law")
    assert [len(summary[key]) for key in keys] == [4 * 6, 4, 5, 4 * 6, 4 * len(summary["effective_data_curves"])]
    json.dumps([summary[key] for key in keys], allow_nan=False)


def test_the_gap_is_the_verdicts_difference_with_its_sign_turned(summary):
    gaps = {(row["arm"], row["budget"]): row for row in summary["negative_transfer"]}
    for row in summary["verdicts"]:
        gap = gaps[row["arm"], row["budget"]]
        assert gap["gap"] == pytest.approx(-row["difference"])
        assert (gap["negative"] is True) == (row["interval"][1] < 0)


def test_an_arm_crosses_between_the_budgets_where_its_verdicts_change(summary):
    row = next(row for row in summary["crossover"] if row["arm"] == "linear_probe")
    assert 25 < row["labels"] < 50
    assert row["direction"] == "helps below, hurts above"


def test_areas_are_between_the_lowest_and_the_highest_cell(summary):
    for row in summary["aulc"]:
        means = [cell["mean"] for cell in summary["cells"] if cell["arm"] == row["arm"]]
        assert min(means) < row["mean"] < max(means)
        assert (row["difference"] is None) == (row["arm"] == "scratch")


def test_targets_are_the_twins_own_errors(summary):
    assert {row["measure"] for row in summary["labels_to_target"]} == {"error"}
    (curve,) = [curve for curve in summary["effective_data_curves"] if curve["measure"] == "error"]
    targets = {row["twin_labels"]: row["target"] for row in summary["labels_to_target"]}
    assert targets == pytest.approx(dict(zip(curve["budgets"], curve["loss"], strict=True)))


def test_one_budget_has_no_areas_and_no_crossover(make_comparison, tmp_path):
    accuracies = dict.fromkeys(("scratch", "full"), (0.6,))
    directory = make_comparison(
        tmp_path / "c", arms=("scratch", "full"), budgets=(10,), seeds=(0,), accuracies=accuracies
    )
    found = build_summary(read_comparison(directory))
    assert (found["aulc"], found["crossover"]) == ([], [])
    assert len(found["negative_transfer"]) == 1
    assert found["law"][0]["alpha"] is None
