"""The front of quality against cost."""

import pytest

from tlj.evidence.money.cost import cost
from tlj.evidence.money.pareto import on_front
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary


def rows(*points):
    return [{"mean": mean, "cost": price} for mean, price in points]


def fronts(points, sign=1.0):
    return [on_front(row, points, "cost", sign) for row in points]


def test_what_something_better_and_no_dearer_beats_is_not_on_the_front():
    assert fronts(rows((0.9, 5.0), (0.8, 1.0), (0.8, 2.0), (0.7, 1.0), (0.95, 9.0))) == [True, True, False, False, True]


def test_equals_share_the_front():
    assert fronts(rows((0.9, 5.0), (0.9, 5.0))) == [True, True]


def test_of_a_loss_less_is_better():
    assert fronts(rows((0.9, 5.0), (0.8, 5.0)), sign=-1.0) == [False, True]


def test_what_has_no_cost_has_no_place():
    assert fronts(rows((0.9, None), (0.8, 1.0))) == [None, True]


def test_the_front_of_time_is_taken_within_a_label_budget_and_that_of_dollars_over_all(
    make_comparison, tmp_path, prices
):
    accuracies = {"scratch": (0.4, 0.6), "linear_probe": (0.5, 0.55), "full": (0.7, 0.8)}
    directory = make_comparison(
        tmp_path / "c", arms=tuple(accuracies), budgets=(10, 100), seeds=(0, 1), accuracies=accuracies
    )
    summary = build_summary(read_comparison(directory), prices)
    places = {(row["arm"], row["budget"]): row for row in summary["cost"]["pareto"]}
    assert len(places) == 6
    # The probe is worse but takes half the time; scratch takes as long as full and is worse.
    assert [places[arm, 100]["on_front"] for arm in accuracies] == [False, True, True]
    assert places["full", 10]["dollars"] == pytest.approx(10 * 0.05 * 3 + 0.004 * 200 * 2)
    # With 100 labels the probe is dearer than full with 10, and worse.
    assert [places[arm, 100]["on_front_of_dollars"] for arm in accuracies] == [False, False, True]


def test_without_cells_there_is_no_front(in_memory):
    assert cost(in_memory({"scratch": {10: [0.5]}}))["pareto"] == []
