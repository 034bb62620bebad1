"""How many seeds a verdict takes."""

import numpy as np
import pytest

from tlj.evidence.judging.power import (
    MOST_MORE,
    chance_of_equivalence,
    chance_to_exclude_zero,
    more_seeds,
    seeds_for_power,
)
from tlj.evidence.judging.statistics import mean_interval


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 34), (0.8, 15), (1, 10), (1.5, 6), (2, 5), (3, 4)])
def test_the_seeds_for_eighty_percent_power_are_the_published_ones(effect, seeds):
    assert seeds_for_power(effect) == seeds_for_power(-effect) == seeds


def test_more_seeds_than_can_be_had_are_said_to_be_out_of_reach():
    assert seeds_for_power(0.001, most=50) is None


def test_without_an_effect_the_power_is_the_level():
    assert chance_to_exclude_zero(np.array([3, 5, 20]), 0.0) == pytest.approx([0.05] * 3)


def test_the_power_is_how_often_drawn_intervals_exclude_zero_or_lie_in_the_margin():
    rng = np.random.default_rng(0)
    draws = [mean_interval(0.8 + rng.normal(size=6)) for _ in range(2000)]
    excluded = np.mean([draw.low > 0 or draw.high < 0 for draw in draws])
    assert chance_to_exclude_zero(np.array([6]), 0.8)[0] == pytest.approx(excluded, abs=0.035)
    inside = np.mean([draw.low > -2.5 and draw.high < 2.5 for draw in draws])
    assert chance_of_equivalence(np.array([6]), 0.8, 2.5)[0] == pytest.approx(inside, abs=0.035)


def test_an_effect_beyond_all_measure_is_found_for_certain():
    assert chance_to_exclude_zero(np.array([2, 10, 100]), 1e6) == pytest.approx([1.0] * 3, abs=0.02)


def test_what_is_missing_is_what_the_effect_needs_less_what_there_is():
    # An effect of one deviation takes ten seeds, and nothing so large is equivalent to zero.
    assert more_seeds(0.02, 0.02, 5, 0.005) == 10 - 5
    assert more_seeds(-0.02, 0.02, 5, 0.005) == 10 - 5


def test_an_effect_of_nothing_is_decided_by_equivalence_where_the_margin_is_wide():
    assert more_seeds(0.0, 0.004, 3, 0.005) < 10
    assert more_seeds(0.0, 0.04, 3, 0.005) == MOST_MORE + 1


def test_at_least_one_more_seed_is_asked_for_and_a_stricter_interval_asks_for_more():
    assert more_seeds(1.0, 0.01, 5, 0.005) == 1
    assert more_seeds(0.02, 0.02, 5, 0.005, confidence=0.972) > 5


def test_fewer_than_two_seeds_say_nothing():
    assert more_seeds(0.1, 0.0, 1, 0.005) is None
    assert more_seeds(0.1, float("nan"), 1, 0.005) is None
