"""Scores over seeds, as `summary.json` has them."""

from dataclasses import replace

import numpy as np
import pytest

from tlj.evidence.runs import read_comparison
from tlj.evidence.scores import over_seeds
from tlj.evidence.scores.classes import METRICS
from tlj.evidence.scores.metrics import score


@pytest.fixture(scope="module")
def comparison(comparison_directory):
    return read_comparison(comparison_directory)


def test_every_metric_has_a_mean_and_an_interval_in_every_cell(comparison):
    rows = over_seeds.metrics(comparison)
    assert len(rows) == 5 * 6
    for row in rows:
        cell = comparison.cell(row["arm"], row["budget"])
        for name in METRICS:
            assert row[name]["mean"] == pytest.approx(np.mean([scores.values[name] for scores in cell.values()]))
            assert row[name]["interval"][0] < row[name]["mean"] < row[name]["interval"][1]
        assert "best" not in row


def test_best_checkpoints_have_a_row_of_their_own_within_the_row(comparison):
    runs = tuple(replace(run, scores=replace(run.scores, best=run.scores)) for run in comparison.runs[:5])
    row = over_seeds.metrics(replace(comparison, runs=runs))[0]
    assert row["best"]["accuracy"] == row["accuracy"]


def test_calibration_is_told_before_and_after_scaling(comparison):
    rows = over_seeds.calibration(comparison)
    assert len(rows) == 5 * 6
    cell = comparison.cell("full", 538)
    row = next(row for row in rows if (row["arm"], row["budget"]) == ("full", 538))
    assert row["ece"]["after"]["mean"] == pytest.approx(np.mean([s.values["ece_scaled"] for s in cell.values()]))
    assert row["temperature"]["mean"] == pytest.approx(np.mean([s.temperature for s in cell.values()]))


def test_reliability_bins_hold_every_test_example_of_every_seed_at_the_largest_budget(comparison):
    rows = over_seeds.reliability(comparison)
    assert [(row["arm"], row["budget"]) for row in rows] == [(arm.name, 538) for arm in comparison.arms]
    for row in rows:
        assert sum(row["before"]["count"]) == sum(row["after"]["count"]) == 5 * 359
        right = sum(n * a for n, a in zip(row["before"]["count"], row["before"]["accuracy"], strict=True) if n)
        cell = comparison.cell(row["arm"], 538).values()
        assert right == pytest.approx(sum(scores.accuracy for scores in cell) * 359)


def test_confusions_are_summed_over_seeds_and_carry_the_names_of_classes(comparison):
    row = over_seeds.confusion(comparison)[0]
    counts = np.array(row["counts"])
    assert (row["arm"], row["seeds"], row["classes"]) == ("scratch", 5, ["5", "6", "7", "8", "9"])
    cell = comparison.cell("scratch", 538).values()
    assert np.trace(counts) == round(sum(scores.accuracy for scores in cell) * 359)
    assert counts.sum(1).tolist() == [5 * 72] * 4 + [5 * 71]


def test_of_many_classes_the_ten_most_confused_pairs_are_told(comparison):
    rng, labels = np.random.default_rng(0), np.arange(300) % 30
    wrong = np.where(labels == 4, 9, labels)
    logits = 5 * np.eye(30)[wrong] + rng.normal(size=(300, 30))
    runs = tuple(replace(run, scores=score(logits, labels, detailed=True)) for run in comparison.runs[-5:])
    row = over_seeds.confusion(replace(comparison, runs=runs))[0]
    assert row["classes"] is None
    assert 1 <= len(row["pairs"]) <= 10
    assert row["pairs"][0]["count"] >= 40
    # The names of the first classes are the run's; of the others there are none.
    assert (row["pairs"][0]["label"], row["pairs"][0]["predicted"]) == ("9", "9")


def test_numbers_have_metrics_and_neither_calibration_nor_confusions(comparison):
    scores = score(np.array([[1.0], [2.5]]), np.array([1.0, 2.0]), detailed=True)
    numbers = replace(comparison, runs=tuple(replace(run, scores=scores) for run in comparison.runs))
    assert over_seeds.metrics(numbers)[0]["rmse"]["mean"] == pytest.approx(np.sqrt(0.125))
    assert over_seeds.calibration(numbers) == over_seeds.reliability(numbers) == over_seeds.confusion(numbers) == []
