"""Negative transfer, and where its sign changes."""

import numpy as np
import pytest

from tlj.evidence.judging.verdict import all_verdicts
from tlj.evidence.labels.crossover import (
    GAINS_THEN_HURTS,
    HURTS_THEN_GAINS,
    closest_monotone,
    crossover,
    crossovers,
    negative_transfer,
)

BUDGETS = (10, 20, 40, 80, 160)


def risks(scale: float, power: float, noise: float = 0.0, seeds: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    return {b: dict(enumerate(scale * b**power * np.exp(noise * rng.normal(size=seeds)))) for b in BUDGETS}


# The arm starts at half the risk and falls more slowly; both are the same at 50 labels.
ARM, TWIN = (0.9 * 50**-0.2, -0.3), (0.9, -0.5)


def test_power_laws_cross_exactly_where_they_meet():
    row = crossover("full", risks(*ARM), risks(*TWIN))
    assert row.labels == pytest.approx(50.0, rel=1e-3)
    assert row.direction == GAINS_THEN_HURTS
    assert row.sign is None


def test_the_other_way_round_the_arm_gains_above():
    row = crossover("full", risks(*TWIN), risks(*ARM))
    assert row.labels == pytest.approx(50.0, rel=1e-3)
    assert row.direction == HURTS_THEN_GAINS


def test_the_interval_holds_the_crossing_and_widens_with_noise():
    widths = []
    for noise in (0.01, 0.05):
        row = crossover("full", risks(*ARM, noise, seed=1), risks(*TWIN, noise, seed=2))
        assert row.interval[0] < 50.0 < row.interval[1]
        assert row.interval[0] <= row.labels <= row.interval[1]
        widths.append(row.interval[1] / row.interval[0])
    assert widths[1] > widths[0]


def test_noise_makes_no_second_crossing():
    arm, twin = risks(0.5, 0.0), risks(0.6, 0.0)
    twin[40], arm[40] = arm[40], twin[40]
    row = crossover("full", arm, twin)
    assert (row.labels, row.sign) == (None, "positive")


def test_an_arm_that_is_better_throughout_does_not_cross():
    row = crossover("full", risks(0.3, -0.3, 0.01, seed=1), risks(0.9, -0.3, 0.01, seed=2))
    assert (row.labels, row.interval, row.sign) == (None, None, "positive")
    assert row.interval_open == (False, False)
    row = crossover("full", risks(0.9, -0.3, 0.01, seed=1), risks(0.3, -0.3, 0.01, seed=2))
    assert (row.labels, row.sign) == (None, "negative")


def test_an_interval_that_runs_to_the_last_budget_is_open_there():
    row = crossover("full", risks(0.9 * 155**-0.2, -0.3, 0.05, seed=1), risks(0.9, -0.5, 0.05, seed=2))
    assert row.interval_open == (False, True)
    assert row.interval[1] == 160


def test_the_same_risks_do_not_cross_and_have_no_sign():
    row = crossover("full", risks(0.5, -0.2), risks(0.5, -0.2))
    assert (row.labels, row.sign, row.interval) == (None, None, (10.0, 160.0))


def test_a_difference_of_exactly_zero_at_a_budget_is_the_crossing():
    arm, twin = (
        {b: {0: v, 1: v} for b, v in zip(BUDGETS, line, strict=True)} for line in ((1, 1, 1, 1, 1), (2, 2, 1, 0.5, 0.5))
    )
    assert crossover("full", arm, twin).labels == pytest.approx(40.0)


def test_one_seed_has_a_crossing_but_no_interval():
    row = crossover("full", risks(*ARM, seeds=1), risks(*TWIN, seeds=1))
    assert row.labels == pytest.approx(50.0, rel=1e-3)
    assert row.to_json()["interval"] is None


def test_a_run_without_an_error_is_no_obstacle():
    twin = risks(*TWIN) | {160: dict.fromkeys(range(5), 0.0)}
    assert crossover("full", risks(*ARM), twin).labels == pytest.approx(50.0, rel=1e-3)


def test_only_budgets_and_seeds_of_both_count():
    arm = {b: {s: v for s, v in runs.items() if s < 3} for b, runs in risks(*ARM).items() if b > 10}
    assert crossover("full", arm, risks(*TWIN)).labels == pytest.approx(50.0, rel=1e-3)
    assert crossover("full", {10: arm[20]}, risks(*TWIN)) is None
    assert [row.arm for row in crossovers({"scratch": risks(*TWIN), "full": arm, "none": {}}, "scratch")] == ["full"]


def test_the_closer_direction_is_fitted():
    assert closest_monotone(np.array([3.0, 1.0, 2.0]), np.ones(3)) == pytest.approx([3.0, 1.5, 1.5])
    assert closest_monotone(np.array([1.0, 3.0, 2.0]), np.ones(3)) == pytest.approx([1.0, 2.5, 2.5])


def test_the_gap_of_negative_transfer_is_the_risk_of_the_arm_less_that_of_its_twin(in_memory, five_seeds):
    worse = [value - 0.1 + 0.001 * i for i, value in enumerate(five_seeds(0.6))]
    comparison = in_memory(
        {"scratch": {10: five_seeds(0.6), 20: five_seeds(0.6)}, "full": {10: worse, 20: five_seeds(0.7)}}
    )
    bad, good = negative_transfer(all_verdicts(comparison), "scratch")
    assert (bad["arm"], bad["budget"], bad["negative"]) == ("full", 10, True)
    assert bad["gap"] == pytest.approx(0.098)
    assert bad["interval"][0] < bad["gap"] < bad["interval"][1]
    assert good["negative"] is False


def test_a_gap_that_may_be_zero_is_neither_and_one_seed_has_no_interval(in_memory):
    cells = {"scratch": {10: [0.5, 0.6]}, "full": {10: [0.6, 0.5]}}
    assert negative_transfer(all_verdicts(in_memory(cells)), "scratch")[0]["negative"] is None
    (row,) = negative_transfer(all_verdicts(in_memory({"scratch": {10: [0.5]}, "full": {10: [0.6]}})), "scratch")
    assert (row["interval"], row["negative"]) == (None, None)
