"""Several comparisons together."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.evidence.judging.across import across, iqm

CLASSES = {"classes": ["a", "b"]}


@pytest.fixture
def data_set(in_memory):
    def made(gain: float, seeds: int = 5, classes=CLASSES, arms=("full",), name="t"):
        rng = np.random.default_rng(seeds)
        twin = {b: (base + 0.01 * rng.normal(size=seeds)).tolist() for b, base in ((10, 0.6), (100, 0.8))}
        cells = {arm: {b: (np.array(v) + gain).tolist() for b, v in twin.items()} for arm in arms}
        comparison = in_memory({"scratch": twin} | cells)
        runs = tuple(replace(run, summary=classes) for run in comparison.runs)
        return replace(comparison, runs=runs, declared={**comparison.declared, "task": name})

    return made


def row_of(result, arm="full", at="every budget"):
    return next(row for row in result["scores"] if (row["arm"], row["at"]) == (arm, at))


def test_the_interquartile_mean_leaves_out_a_quarter_on_both_sides():
    assert iqm([np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[4.0, 5.0, 6.0, 1000.0]])]) == pytest.approx(3.5)


def test_scores_are_normalised_before_they_are_averaged(data_set):
    row = row_of(across([data_set(0.0), data_set(0.0, seeds=3)]), "twin", "smallest budget")
    # An accuracy of 0.6 with two classes lies a fifth of the way from guessing to one.
    assert row["iqm"] == pytest.approx(0.2, abs=0.02)
    assert (row["tasks"], row["runs"]) == (2, 8)


def test_an_arm_that_wins_everywhere_beats_its_twin_for_certain(data_set):
    row = row_of(across([data_set(0.1), data_set(0.1, seeds=3)]))
    assert (row["probability_of_improvement"], row["improvement_interval"]) == (1.0, [1.0, 1.0])
    assert row["tasks"] == 4


def test_each_task_counts_alike_however_many_seeds_it_has(data_set):
    row = row_of(across([data_set(0.1, seeds=9), data_set(-0.1, seeds=3)]))
    assert row["probability_of_improvement"] == pytest.approx(0.5)


def test_ties_count_one_half(data_set):
    assert row_of(across([data_set(0.0), data_set(0.0)]))["probability_of_improvement"] == pytest.approx(0.5)


def test_the_interval_holds_the_estimate_and_is_the_same_each_time(data_set):
    comparisons = [data_set(0.02), data_set(0.03, seeds=4)]
    row = row_of(across(comparisons))
    assert row["interval"][0] < row["iqm"] < row["interval"][1]
    assert row == row_of(across(comparisons))


def test_one_seed_gives_no_interval(data_set):
    row = row_of(across([data_set(0.1, seeds=1), data_set(0.1)]))
    assert (row["interval"], row["improvement_interval"]) == (None, None)


def test_the_profile_falls_from_all_runs_to_none(data_set):
    profile = across([data_set(0.1), data_set(0.1)])["profile"]
    for row in profile["arms"]:
        assert row["share"] == sorted(row["share"], reverse=True)
    full, twin = profile["arms"]
    assert all(np.array(full["share"]) >= twin["share"])


def test_a_data_set_without_a_scale_is_named(data_set):
    result = across([data_set(0.1), data_set(0.1), data_set(0.1, classes={}, name="unknown")])
    assert result["left_out"] == ["unknown"]
    assert len(result["tasks"]) == 2
    json.dumps(result, allow_nan=False)


def test_only_arms_that_all_comparisons_have_are_aggregated(data_set):
    result = across([data_set(0.1, arms=("full", "linear_probe")), data_set(0.1)])
    assert result["arms"] == [{"arm": "full", "role": "transfer"}, {"arm": "twin", "role": "twin"}]


def test_too_little_to_aggregate_is_refused(data_set):
    with pytest.raises(InputError, match="fewer than two comparisons"):
        across([data_set(0.1)])
    with pytest.raises(InputError, match="no arm is in all"):
        across([data_set(0.1, arms=("full",)), data_set(0.1, arms=("linear_probe",))])
