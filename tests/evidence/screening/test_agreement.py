"""Agreement of scores and results."""

import pytest

from tlj.evidence.screening.agreement import ranking_agreement


def test_the_same_ranking_is_one_and_the_opposite_minus_one():
    assert ranking_agreement([0.1, 0.5, 0.3], [60, 90, 70]) == pytest.approx(1)
    assert ranking_agreement([0.5, 0.1, 0.3], [60, 90, 70]) == pytest.approx(-1)


def test_a_mistake_at_the_top_weighs_more_than_one_at_the_bottom():
    top = ranking_agreement([4, 3, 2, 1], [3, 4, 2, 1])
    bottom = ranking_agreement([4, 3, 2, 1], [4, 3, 1, 2])
    assert top < bottom < 1


@pytest.mark.parametrize(
    ("scores", "results"),
    [([1, 2], [1, 2]), ([1, 2, None], [1, 2, 3]), ([1, 2, 3], [None, 2, 3]), ([1, 1, 1], [1, 2, 3]), ([], [])],
)
def test_fewer_than_three_points_or_points_all_alike_have_no_ranking(scores, results):
    assert ranking_agreement(scores, results) is None
