"""The area under the learning curve."""

import numpy as np
import pytest

from tlj.evidence.judging.statistics import mean_interval
from tlj.evidence.labels.area import areas


def flat(height: float, seeds: int = 3, budgets=(10, 100, 1000)):
    return {budget: {seed: height + 0.01 * seed for seed in range(seeds)} for budget in budgets}


def test_the_area_of_a_flat_curve_is_its_height():
    (row,) = areas({"scratch": flat(0.5)}, "scratch")
    assert row.estimate.mean == pytest.approx(0.51)
    assert row.estimate.interval == pytest.approx(mean_interval(np.array([0.5, 0.51, 0.52])).interval)
    assert row.difference is None


def test_labels_count_by_their_logarithm():
    # Half of the log range at 0.2 to 0.4, half at 0.4 to 0.8.
    (row,) = areas({"scratch": {10: {0: 0.2}, 100: {0: 0.4}, 1000: {0: 0.8}}}, "scratch")
    assert row.estimate.mean == pytest.approx((0.3 + 0.6) / 2)
    assert row.to_json()["interval"] is None


def test_the_difference_is_taken_seed_by_seed():
    twin = flat(0.5)
    arm = {b: {s: v + 0.1 for s, v in runs.items()} for b, runs in twin.items()}
    row = areas({"scratch": twin, "full": arm}, "scratch")[1]
    assert row.difference.estimate.interval == pytest.approx([0.1, 0.1])


def test_less_of_a_loss_is_a_positive_difference():
    row = areas({"scratch": flat(0.5), "full": flat(0.3)}, "scratch", lower_is_better=True)[1]
    assert row.estimate.mean == pytest.approx(0.31)
    assert row.difference.estimate.mean == pytest.approx(0.2)


def test_only_seeds_that_finished_at_every_budget_count():
    curve = flat(0.5)
    del curve[100][1]
    twin, arm = areas({"scratch": flat(0.5), "full": curve}, "scratch")
    assert (twin.seeds, arm.seeds) == ((0, 1, 2), (0, 2))
    assert len(arm.difference.values) == 2


def test_an_arm_with_fewer_budgets_is_compared_over_those():
    twin = flat(0.5) | {1000: dict.fromkeys(range(3), 0.9)}
    row = areas({"scratch": twin, "full": flat(0.6, budgets=(10, 100))}, "scratch")[1]
    assert row.budgets == (10, 100)
    assert row.difference.estimate.mean == pytest.approx(0.1)


def test_one_budget_or_no_common_seed_gives_no_area():
    assert areas({"scratch": flat(0.5, budgets=(10,))}, "scratch") == []
    assert areas({"scratch": {10: {0: 0.5}, 20: {1: 0.5}}, "full": {}}, "scratch") == []
    row = areas({"full": flat(0.5)}, "scratch")[0]
    assert row.difference is None


def test_the_confidence_is_that_of_the_verdicts():
    narrow, wide = (areas({"scratch": flat(0.5)}, "scratch", c)[0].estimate for c in (0.95, 0.972))
    assert wide.high > narrow.high
