"""Labels to a target: the arm's curve, read at what the twin reaches."""

import numpy as np
import pytest

from tlj.evidence.labels.labels_to_target import labels_to_target

BUDGETS = (10, 20, 40, 80, 160, 320)


def loss(labels: float) -> float:
    return 4.0 * labels**-0.5


def losses(multiple: float, noise: float = 0.0):
    rng = np.random.default_rng(0)

    def runs(labels):
        return (loss(labels) * np.exp(noise * rng.normal(size=5))).tolist()

    return {"scratch": {b: runs(b) for b in BUDGETS}, "full": {b: runs(multiple * b) for b in BUDGETS}}


def test_an_arm_worth_twice_its_labels_needs_half_of_the_twins():
    rows = labels_to_target("scratch", losses(2.0), "nll")
    assert [row.twin_labels for row in rows] == list(BUDGETS)
    assert [row.labels for row in rows[1:]] == pytest.approx([10, 20, 40, 80, 160])
    assert rows[2].target == pytest.approx(loss(40))


def test_what_lies_outside_the_arms_own_curve_is_a_bound():
    rows = labels_to_target("scratch", losses(4.0), "nll")
    assert [row.censored for row in rows] == ["below", "below", None, None, None, None]
    assert labels_to_target("scratch", losses(0.5), "nll")[-1].censored == "above"


def test_the_interval_holds_the_truth():
    rows = labels_to_target("scratch", losses(2.0, noise=0.05), "error")
    row = rows[3]
    assert row.interval[0] < 40 < row.interval[1]
    assert row.to_json()["interval"] == list(row.interval)
    assert row.measure == "error"


def test_without_runs_of_the_twin_there_is_no_target():
    assert labels_to_target("scratch", {"scratch": {}, "full": {10: [0.5]}}, "nll") == []
    assert labels_to_target("scratch", {"scratch": {10: [0.5]}, "full": {}}, "nll") == []
