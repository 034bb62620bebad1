"""The law of effective data, against the figures of its paper and curves that follow it."""

import math

import numpy as np
import pytest

from tlj.evidence.labels.effective_data import invert
from tlj.evidence.labels.law import fit_laws, least_squares_lines, transferred_labels, transferred_share

BUDGETS = tuple(10 * 2**i for i in range(10))
TEXT, MIXTURE = (1.9e4, 0.18), (2.1e5, 0.096)


def loss(labels: float) -> float:
    return 4.0 * labels**-0.5


def inverted(k: float, alpha: float, noise: float = 0.0, arm_budgets=BUDGETS[:6], seeds: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    worth = {b: b + k * b**alpha for b in arm_budgets}
    losses = {
        "scratch": {b: (loss(b) * np.exp(noise * rng.normal(size=seeds))).tolist() for b in BUDGETS},
        "full": {b: (loss(d) * np.exp(noise * rng.normal(size=seeds))).tolist() for b, d in worth.items()},
    }
    return invert("scratch", losses, "nll")


@pytest.mark.parametrize(("law", "expected", "printed"), [(TEXT, 3.56e8, 3.7e8), (MIXTURE, 3.93e9, 4.1e9)])
def test_one_character_is_worth_what_the_paper_says_at_the_size_of_gpt_3(law, expected, printed):
    found = transferred_labels(1.0, *law, parameters=1.75e11, beta=0.38)
    assert found == pytest.approx(expected, rel=0.005)
    assert found == pytest.approx(printed, rel=0.05)


@pytest.mark.parametrize(("law", "ratio"), [(TEXT, 2.79), (MIXTURE, 1.73)])
def test_three_hundred_times_the_labels_are_worth_only_a_little_more(law, ratio):
    effective = [labels + transferred_labels(labels, *law, parameters=1.75e11, beta=0.38) for labels in (1.0, 300.0)]
    assert effective[1] / effective[0] == pytest.approx(ratio, abs=0.005)


def test_the_logit_of_the_transferred_share_is_linear_in_log_labels():
    k, alpha, beta, size = 1.9e4, 0.18, 0.38, 1e7
    for labels in (1e3, 1e6, 1e9):
        share = transferred_share(labels, k, alpha, size, beta)
        worth = transferred_labels(labels, k, alpha, size, beta)
        assert share == pytest.approx(worth / (labels + worth))
        expected = math.log(k) + (alpha - 1) * math.log(labels) + beta * math.log(size)
        assert math.log(share / (1 - share)) == pytest.approx(expected)


def test_the_law_is_recovered_exactly_without_noise():
    (law,) = fit_laws(inverted(60.0, 0.18))
    assert (law.k, law.alpha) == (pytest.approx(60.0), pytest.approx(0.18))
    assert law.points == BUDGETS[:6]


def test_the_interval_holds_the_exponent_and_widens_with_noise():
    (quiet,), (noisy,) = fit_laws(inverted(60.0, 0.18, 0.005)), fit_laws(inverted(60.0, 0.18, 0.05))
    assert quiet.alpha_interval[0] < 0.18 < quiet.alpha_interval[1]
    assert quiet.k_interval[0] < 60 < quiet.k_interval[1]
    assert np.diff(noisy.alpha_interval) > 3 * np.diff(quiet.alpha_interval)


def test_points_outside_the_curve_and_without_labels_saved_are_dropped_and_counted():
    (law,) = fit_laws(inverted(2e4, 0.0, arm_budgets=BUDGETS))
    assert law.dropped == {"censored": 10, "no_labels_saved": 0, "not_little_data": 0}
    assert (law.k, law.alpha, law.alpha_interval) == (None, None, None)
    (law,) = fit_laws(inverted(-3.0, 0.5, arm_budgets=BUDGETS[2:]))
    assert law.dropped["no_labels_saved"] == 8


def test_only_little_data_are_fitted_where_it_is_known_how_much_that_is():
    (law,) = fit_laws(inverted(60.0, 0.18), full_data=900.0)
    assert law.points == (10, 20, 40, 80)
    assert (law.dropped["not_little_data"], law.low_data_limit) == (2, 90.0)


def test_two_points_are_too_few_and_one_seed_gives_no_interval():
    assert fit_laws(inverted(60.0, 0.18, arm_budgets=BUDGETS[:2]))[0].alpha is None
    (law,) = fit_laws(inverted(60.0, 0.18, seeds=1))
    assert law.alpha == pytest.approx(0.18)
    assert law.to_json()["alpha_interval"] is None


def test_a_line_is_fitted_through_the_valid_points_of_each_row():
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([[1.0, 3.0, 5.0, 99.0], [0.0, 0.0, 7.0, 7.0]])
    valid = np.array([[True, True, True, False], [True, True, False, False]])
    intercepts, slopes = least_squares_lines(x, y, valid)
    assert intercepts == pytest.approx([1.0, 0.0])
    assert slopes == pytest.approx([2.0, 0.0])
