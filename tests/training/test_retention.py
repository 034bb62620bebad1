import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.training.retention import Retention

LOSS = "validation_loss"


def test_the_latest_and_the_best_are_kept():
    assert Retention(2).kept([3, 1, 2, 4], []) == {3, 4}
    assert Retention(1, 2).kept([1, 2, 3, 4], [(2, 0.1), (3, 0.2), (9, 0.3)]) == {2, 3, 4}


def test_a_lower_loss_and_a_higher_accuracy_are_better():
    assert Retention(1, 2).best_with([(1, 0.5), (2, 0.7)], 3, {LOSS: 0.6}) == [(1, 0.5), (3, 0.6)]
    by_accuracy = Retention(1, 2, "validation_accuracy")
    assert by_accuracy.best_with([(1, 0.9), (2, 0.8)], 3, {"validation_accuracy": 0.95}) == [(3, 0.95), (1, 0.9)]


def test_of_two_alike_the_earlier_is_kept():
    assert Retention(1, 1).best_with([(4, 0.5)], 8, {LOSS: 0.5}) == [(4, 0.5)]
    assert not Retention(1, 1).admits([(4, 0.5)], {LOSS: 0.5})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_the_best(value):
    assert Retention(1, 2).best_with([(4, 0.5)], 8, {LOSS: value}) == [(4, 0.5)]
    assert not Retention(1, 2).admits([], {LOSS: value})


def test_without_a_validation_or_without_a_best_nothing_is_taken_in():
    assert Retention(1, 2).best_with([(4, 0.5)], 8, {}) == [(4, 0.5)]
    assert Retention(1).best_with([], 8, {LOSS: 0.1}) == []
    assert not Retention(1).admits([], {LOSS: 0.1})


def test_a_metric_that_is_not_measured_is_an_error_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'validation_loss'"):
        Retention(1, 1, "validation_los").best_with([], 1, {LOSS: 0.1, "validation_accuracy": 0.5})


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1, width=16), max_size=12), st.integers(1, 4), st.integers(1, 3))
def test_one_at_a_time_gives_the_best_of_all_and_admits_says_which(values, count, latest):
    retention, best, kept = Retention(latest, count), [], set()
    for step, value in enumerate(values):
        admitted = retention.admits(best, {LOSS: value})
        best = retention.best_with(best, step, {LOSS: value})
        assert admitted == (step in {found for found, _ in best})
        kept = retention.kept({*kept, step}, best)
    assert best == sorted(enumerate(values), key=lambda entry: (entry[1], entry[0]))[:count]
    assert kept == {step for step, _ in best} | set(range(len(values))[-latest:])
