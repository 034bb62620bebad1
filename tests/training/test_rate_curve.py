import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.training.rate_curve import DIVERGED, RateCurve, RateRange, moving_average

BOWL = RateRange(1e-6, 1.0, 240)


def curve(rate_range, loss_of, taken=None):
    rates = rate_range.rates()[:taken]
    return RateCurve(rate_range, rates, np.array([loss_of(rate) for rate in rates]))


def bowl(rate):
    """Flat at 2 up to 1e-4, down to 0.5 at 1e-2, and up again, all in the logarithm of the rate."""
    place = np.log10(rate)
    return float(np.interp(place, [-6, -4, -2, 0], [2.0, 2.0, 0.5, 8.0]))


def test_rates_grow_by_the_same_factor_from_the_lowest_to_the_highest():
    rates = RateRange(1e-4, 1e-1, 31).rates()
    assert rates[0] == pytest.approx(1e-4)
    assert rates[-1] == pytest.approx(1e-1)
    np.testing.assert_allclose(rates[1:] / rates[:-1], 10**0.1)


def test_the_steepest_descent_lies_on_the_slope_and_the_other_at_a_tenth_of_the_minimum():
    found = curve(BOWL, bowl)
    suggested = found.suggestion()
    assert 1e-4 < suggested["steepest"] < 1e-2
    assert suggested["tenth"] == pytest.approx(1e-3, rel=0.5)
    assert found.shortcomings() == []


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.floats(1e-3, 1e3), st.floats(0.1, 10.0))
def test_a_suggestion_follows_the_rates_and_not_the_size_of_the_loss(unit, size):
    scaled = RateRange(BOWL.lowest * unit, BOWL.highest * unit, BOWL.steps)
    ours, theirs = curve(BOWL, bowl), curve(scaled, lambda rate: size * bowl(rate / unit))
    for name, rate in ours.suggestion().items():
        assert theirs.suggestion()[name] == pytest.approx(rate * unit)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50))
def test_a_moving_average_stays_among_the_values_and_begins_with_the_first(values):
    averages = moving_average(np.array(values))
    assert averages[0] == pytest.approx(values[0])
    assert averages.min() >= min(values) - 1e-9
    assert averages.max() <= max(values) + 1e-9


def test_a_smoothed_loss_does_not_lag_behind_its_rate():
    straight = curve(RateRange(1e-4, 1e-1, 50), np.log)
    np.testing.assert_allclose(straight.smoothed, np.log(straight.smoothed_rates))


def test_a_loss_that_is_many_times_the_best_has_diverged():
    steady = RateCurve(BOWL, BOWL.rates()[:40], np.ones(40))
    assert not steady.has_diverged
    jump = np.where(np.arange(40) < 30, 1.0, 1.2 * DIVERGED)
    assert not RateCurve(BOWL, BOWL.rates()[:40], jump).has_diverged
    jump[30:] = 10 * DIVERGED
    assert RateCurve(BOWL, BOWL.rates()[:40], jump).has_diverged


@pytest.mark.parametrize("last", [np.nan, np.inf])
@pytest.mark.parametrize("before", [0, 30])
def test_a_loss_that_is_not_finite_ends_the_test_and_is_none_in_json(last, before):
    found = RateCurve(BOWL, BOWL.rates()[: before + 1], np.append(np.ones(before), last))
    assert found.has_diverged
    assert found.suggestion() == {"steepest": None, "tenth": None}
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["losses"][-1] is None
    assert len(content["smoothed"]) == before
    assert "lower --lowest" in content["shortcomings"][0]


@pytest.mark.parametrize(
    ("rate_range", "says"),
    [
        (RateRange(1e-6, 1e-2, 160), ["raise --highest"]),
        (RateRange(2e-4, 1.0, 140), ["lower --lowest"]),
        (RateRange(1e-6, 5e-5, 60), ["raise --highest"]),
    ],
)
def test_a_range_that_is_too_narrow_says_on_which_side(rate_range, says):
    found = curve(rate_range, bowl).shortcomings()
    assert len(found) == len(says)
    assert all(do in line for do, line in zip(says, found, strict=True))


@pytest.mark.parametrize(
    ("numbers", "where"),
    [
        ((0.0, 1.0, 100), "--lowest"),
        ((float("nan"), 1.0, 100), "--lowest"),
        ((1e-3, float("inf"), 100), "--highest"),
        ((1e-2, 1e-3, 100), "--highest"),
        ((1e-3, 1.0, 3), "--steps"),
    ],
)
def test_a_range_that_is_none_is_refused(numbers, where):
    with pytest.raises(InputError) as refused:
        RateRange(*numbers)
    assert refused.value.where == where
