"""The next most informative run."""

import numpy as np
import pytest

from tlj.evidence.advice.next_run import narrower
from tlj.evidence.judging.statistics import mean_interval

DECIDED = {"scratch": {10: [0.5, 0.51, 0.52]}, "full": {10: [0.8, 0.81, 0.82]}}
NOISE = ([0.5, 0.6, 0.7], [0.7, 0.6, 0.6])


def test_what_is_missing_comes_first(ask):
    run = ask(DECIDED, facts={"missing": 3})["next_run"]
    assert run == {"kind": "missing", "runs": 3, "by_arm": {"scratch": 3}}


def test_where_all_is_decided_nothing_more_is_run(ask):
    assert ask(DECIDED)["next_run"] is None


def test_the_open_verdict_that_narrows_most_for_its_time_is_named(ask):
    cells = {"scratch": {10: NOISE[0]}, "linear_probe": {10: NOISE[1]}, "full": {10: NOISE[1]}}
    times = {"scratch": 4.0, "linear_probe": 1.0, "full": 4.0}
    run = ask(cells, milliseconds=times)["next_run"]
    assert (run["kind"], run["arm"], run["against"], run["budget"]) == ("seeds", "linear_probe", "scratch", 10)
    assert run["accelerator_seconds_per_seed"] == pytest.approx(200 * 0.005)
    assert run["half_width_with_one_more"] < run["half_width"]


def test_a_budget_whose_answer_stands_is_left_alone(ask):
    cells = {
        "scratch": {10: [0.5, 0.51, 0.52], 100: NOISE[0]},
        "full": {10: [0.8, 0.81, 0.82], 100: NOISE[1]},
        "linear_probe": {10: [0.3, 0.6, 0.7], 100: [0.3, 0.31, 0.32]},
    }
    run = ask(cells, milliseconds={"scratch": 4.0, "full": 4.0, "linear_probe": 1.0})["next_run"]
    assert (run["arm"], run["budget"]) == ("full", 100)


def test_with_one_seed_a_second_comes_before_all(ask):
    run = ask({"scratch": {10: [0.5]}, "full": {10: [0.6]}})["next_run"]
    assert (run["kind"], run["half_width"], run["rate"]) == ("seeds", None, None)


def test_for_a_target_out_of_reach_more_labels_are_named_and_nothing_promised(ask):
    advice = ask(DECIDED, target=0.9)
    assert advice["next_run"] == {"kind": "labels", "above": 10}
    assert "only more than 10 labels could tell" in advice["text"].lower()


def test_a_seed_more_narrows_a_t_interval_as_its_formula_says():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    estimate = mean_interval(values)
    # Five values with the same spread: two added at one standard deviation on both sides of the mean, one taken out.
    spread = values.std(ddof=1)
    five = np.array([-1.0, 1.0, -1.0, 1.0, 0.0]) * spread
    expected = mean_interval(five)
    assert five.std(ddof=1) == pytest.approx(spread)
    half = (estimate.high - estimate.low) / 2
    assert narrower(half, 4, 0.95) == pytest.approx((expected.high - expected.low) / 2)
