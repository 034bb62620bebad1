"""Means, intervals and exact tests, against values computed by hand."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.judging.statistics import (
    mean_interval,
    paired_difference,
    probability_of_improvement,
    seeds_to_reach,
    sign_flip_floor,
    sign_flip_p,
    t_p,
)

values = st.lists(st.integers(-200, 200).map(lambda i: i / 359), min_size=1, max_size=8)


def test_t_interval_of_one_to_five_is_the_one_in_the_tables():
    # s = 1.5811, t(4) at 97.5 % = 2.7764, so 2.7764 * 1.5811 / sqrt(5) = 1.9632.
    estimate = mean_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert estimate.mean == 3.0
    assert estimate.interval == pytest.approx([3 - 1.96324, 3 + 1.96324], abs=1e-5)


def test_t_interval_agrees_with_scipy():
    sample = np.array([0.91, 0.93, 0.89])
    expected = scipy.stats.ttest_1samp(sample, 0.0).confidence_interval(0.95)
    assert mean_interval(sample).interval == pytest.approx([expected.low, expected.high], rel=1e-12)


def test_one_seed_has_a_mean_and_no_interval():
    estimate = mean_interval(np.array([0.7]))
    assert (estimate.mean, estimate.interval) == (0.7, None)


def test_no_seed_is_an_error():
    with pytest.raises(ValueError, match="no seeds"):
        mean_interval(np.array([]))
    with pytest.raises(ValueError, match="no seeds"):
        sign_flip_p(np.array([]))


@pytest.mark.parametrize(
    ("seeds", "floor"), [(3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125), (7, 0.015625), (8, 0.0078125)]
)
def test_sign_flip_floor_is_reached_by_differences_of_one_sign(seeds, floor):
    assert sign_flip_floor(seeds) == floor
    assert sign_flip_p(np.linspace(0.1, 0.9, seeds)) == floor
    assert sign_flip_p(-np.linspace(0.1, 0.9, seeds)) == floor


def test_six_seeds_are_the_fewest_that_reach_five_percent():
    assert [seeds_to_reach(p) for p in (0.25, 0.05, 0.01)] == [3, 6, 8]


def test_sign_flip_p_by_hand():
    # Sums of ±1 ±2 ±3: 6, 4, 2, 0, 0, -2, -4, -6. Observed 1 + 2 - 3 = 0: every pattern is as far.
    assert sign_flip_p(np.array([1.0, 2.0, -3.0])) == 1.0
    # Observed -1 + 2 + 3 = 4: 6, 4, -4, -6 are as far, 4 of 8.
    assert sign_flip_p(np.array([-1.0, 2.0, 3.0])) == 0.5


def test_sign_flip_p_counts_ties_that_differ_in_their_last_bits():
    # In exact arithmetic 0.1 + 0.2 and 0.3 are one value; in floating point they are not.
    differences = np.array([0.1, 0.2, 0.3, -0.3, 0.1])
    exact = [1, 2, 3, -3, 1]
    sums = [
        abs(sum(s * d for s, d in zip(signs, exact, strict=True))) for signs in itertools.product((1, -1), repeat=5)
    ]
    assert sign_flip_p(differences) == sum(total >= 4 for total in sums) / 32


def test_no_difference_at_all_has_p_one():
    assert sign_flip_p(np.zeros(5)) == 1.0


@settings(max_examples=50, deadline=None)
@given(values)
def test_sign_flip_p_is_a_count_of_patterns_between_floor_and_one(differences):
    p = sign_flip_p(np.array(differences))
    assert sign_flip_floor(len(differences)) <= p <= 1.0
    assert (p * 2 ** len(differences)).is_integer()
    assert p == sign_flip_p(-np.array(differences))


def test_sign_flip_p_agrees_with_scipy():
    differences = np.array([0.3, -0.1, 0.45, 0.2, 0.07, -0.25, 0.6])
    expected = scipy.stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)


def test_beyond_twenty_seeds_patterns_are_drawn_from_a_fixed_seed():
    differences = np.concatenate([np.full(15, 0.1), np.full(8, -0.1)])
    p = sign_flip_p(differences)
    exact = scipy.stats.binomtest(8, 23).pvalue
    assert p == pytest.approx(exact, abs=0.01)
    assert p == sign_flip_p(differences)


def test_probability_of_improvement_is_mann_whitney_over_all_pairs():
    treated, control = np.array([3.0, 5.0, 4.0]), np.array([1.0, 4.0])
    assert probability_of_improvement(treated, control) == pytest.approx((1 + 2 + 1.5) / 6)
    u = scipy.stats.mannwhitneyu(treated, control).statistic
    assert probability_of_improvement(treated, control) == pytest.approx(u / 6)


def test_equal_runs_are_a_coin_toss():
    assert probability_of_improvement(np.ones(3), np.ones(4)) == 0.5


def test_paired_difference_takes_differences_within_seeds():
    control = np.array([0.2, 0.5, 0.8, 0.4, 0.6])
    result = paired_difference(control + 0.1, control)
    assert result.estimate.mean == pytest.approx(0.1)
    # Unpaired, the spread between seeds would give an interval of half a unit; paired there is none.
    assert result.estimate.interval == pytest.approx([0.1, 0.1])
    assert (result.p, result.p_floor) == (0.0625, 0.0625)
    assert 0.5 < result.probability_of_improvement < 1.0


def test_the_p_of_the_t_test_is_that_of_scipy_and_belongs_to_the_interval():
    differences = np.array([0.1, 0.3, -0.1, 0.2, 0.25])
    assert t_p(differences) == pytest.approx(scipy.stats.ttest_1samp(differences, 0.0).pvalue)
    edge = mean_interval(differences, confidence=1 - t_p(differences))
    assert edge.low == pytest.approx(0.0, abs=1e-9)


def test_differences_without_spread_are_certain_and_one_difference_has_no_t_test():
    assert (t_p(np.full(3, 0.2)), t_p(np.zeros(3)), t_p(np.array([0.2]))) == (0.0, 1.0, None)
    assert t_p(np.array([0.1, np.inf, 0.2])) is None


def test_a_wider_interval_is_asked_for_by_its_confidence():
    control, treated = np.zeros(4), np.array([0.1, 0.2, 0.3, 0.5])
    plain, wide = paired_difference(treated, control), paired_difference(treated, control, 0.99)
    assert wide.estimate.low < plain.estimate.low
    assert wide.values == (0.1, 0.2, 0.3, 0.5)


def test_runs_that_cannot_be_paired_are_an_error():
    with pytest.raises(ValueError, match="3 runs cannot be paired with 2"):
        paired_difference(np.zeros(3), np.zeros(2))


@settings(max_examples=50, deadline=None)
@given(values)
def test_swapping_the_arms_changes_the_sign_alone(differences):
    base = np.linspace(0.3, 0.6, len(differences))
    one = paired_difference(base + differences, base)
    two = paired_difference(base, base + differences)
    assert one.estimate.mean == pytest.approx(-two.estimate.mean, abs=1e-12)
    assert one.p == two.p
    assert one.probability_of_improvement + two.probability_of_improvement == pytest.approx(1.0)
    assert math.isfinite(one.p)
