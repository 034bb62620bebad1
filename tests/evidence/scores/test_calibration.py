"""Calibration errors and temperatures."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.scores.calibration import equal_mass_error, equal_width_bins, fit_temperature, width_error
from tlj.evidence.scores.classes import log_softmax


def test_bins_hold_their_upper_edge_and_not_their_lower():
    bins = equal_width_bins(np.array([1 / 15, 1 / 15 + 1e-9, 1.0, 0.0]), np.array([True, False, True, False]))
    assert bins[0].tolist() == [2, 1] + [0] * 12 + [1]
    assert bins[2].tolist() == [1, 0] + [0] * 12 + [1]


def test_error_over_bins_of_equal_width_by_hand():
    # Ten examples at 0.9 of which seven are right, ten at 0.6 of which eight are: (0.2 + 0.2) / 2.
    confidence, right = np.repeat([0.9, 0.6], 10), np.array([True] * 7 + [False] * 3 + [True] * 8 + [False] * 2)
    assert width_error(equal_width_bins(confidence, right)) == pytest.approx(0.2)


def test_error_over_bins_of_equal_mass_by_hand():
    # Thirty examples in fifteen bins of two; every bin is half right at its confidence.
    confidence = np.repeat(np.linspace(0.5, 0.9, 15), 2)
    right = np.tile([True, False], 15)
    assert equal_mass_error(confidence, right) == pytest.approx(np.mean(np.linspace(0.5, 0.9, 15) - 0.5))


def test_a_model_that_is_right_as_often_as_it_says_has_no_error():
    confidence = np.full(1000, 0.75)
    right = np.arange(1000) % 4 > 0
    assert width_error(equal_width_bins(confidence, right)) == pytest.approx(0, abs=1e-12)


def overconfident(rows, temperature, seed=0):
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(rows, 4))
    probabilities = np.exp(log_softmax(logits))
    labels = (probabilities.cumsum(1) > rng.random((rows, 1))).argmax(1)
    return logits * temperature, labels


def loss_at(logits, labels, temperature):
    return -log_softmax(logits / temperature)[np.arange(len(labels)), labels].mean()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), true=st.sampled_from([0.4, 1.0, 3.0]))
def test_the_temperature_minimises_the_loss(seed, true):
    logits, labels = overconfident(200, true, seed)
    found = fit_temperature(logits, labels)
    best = scipy.optimize.minimize_scalar(
        lambda log: loss_at(logits, labels, np.exp(log)), bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}
    )
    assert found == pytest.approx(np.exp(best.x), rel=1e-5)


def test_with_many_rows_it_is_the_one_that_the_logits_were_made_with():
    assert fit_temperature(*overconfident(20_000, 3.0)) == pytest.approx(3.0, rel=0.05)


def test_few_rows_move_it_by_little_and_no_rows_by_nothing():
    logits = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 1e-3]])
    assert fit_temperature(logits, np.array([0, 0, 0])) == pytest.approx(1 / 1.75)
    assert fit_temperature(logits, np.array([1, 1, 0])) == 1.75
    assert fit_temperature(np.tile(logits, (500, 1)), np.tile([1, 1, 0], 500)) == 20.0
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, int)) is None


def test_rows_that_are_all_right_or_all_alike_say_nothing_about_it():
    assert fit_temperature(np.array([[5.0, 0.0], [0.0, 0.1]]), np.array([0, 1])) == 1.0
    assert fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 1.0


def test_rows_that_are_not_finite_are_left_out_and_large_ones_do_not_overflow():
    logits, labels = overconfident(100, 2.0)
    bad = np.vstack([logits, [[np.nan, 0, 0, 0], [np.inf, 0, 0, 0]]])
    assert fit_temperature(bad, np.append(labels, [0, 1])) == fit_temperature(logits, labels)
    assert fit_temperature(bad[-2:], np.array([0, 1])) is None
    assert fit_temperature(logits * 1e30, labels) == 20.0
