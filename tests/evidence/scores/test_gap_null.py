"""The permutation null of the gap between groups."""

import numpy as np
import pytest

from tlj.evidence.scores.gap_null import FEWEST_PERMUTATIONS, MOST_PERMUTATIONS, gap_nulls, permutation_count

CODES = np.repeat([0, 1, 2], [40, 40, 40])


def test_chance_alone_makes_the_gap_that_independent_shuffles_make():
    right = np.random.default_rng(1).random((3, 120)) < 0.7
    (null,) = gap_nulls(CODES, [right])
    rng, gaps = np.random.default_rng(2), []
    for _ in range(2000):
        order = rng.permutation(120)
        accuracy = right[:, order].reshape(3, 3, 40).mean(axis=2)
        gaps.append(np.ptp(accuracy, axis=1).mean())
    assert null.mean == pytest.approx(np.mean(gaps), abs=0.005)
    assert null.mean > 0.05


def test_a_group_that_is_worse_is_beyond_chance_and_like_groups_are_not():
    rng = np.random.default_rng(3)
    worse = rng.random((3, 120)) < np.where(CODES == 1, 0.4, 0.9)
    alike = rng.random((3, 120)) < 0.8
    found = gap_nulls(CODES, [worse, alike])
    assert found[0].p == pytest.approx(1 / (1 + MOST_PERMUTATIONS))
    assert found[1].p > 0.05
    assert found == gap_nulls(CODES, [worse, alike])


def test_p_is_a_valid_level_where_groups_are_alike():
    rng = np.random.default_rng(4)
    cells = [rng.random((1, 120)) < 0.7 for _ in range(150)]
    share = np.mean([null.p <= 0.1 for null in gap_nulls(CODES, cells)])
    assert share <= 0.16


def test_no_gap_at_all_has_a_p_of_one():
    assert gap_nulls(CODES, [np.ones((2, 120), bool)])[0].p == 1


def test_a_large_comparison_draws_fewer():
    assert permutation_count(100, 3, 50) == MOST_PERMUTATIONS
    assert permutation_count(50_000, 10, 5_000) == FEWEST_PERMUTATIONS
    assert FEWEST_PERMUTATIONS < permutation_count(10_000, 5, 100) < MOST_PERMUTATIONS
