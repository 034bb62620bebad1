"""Scores of one run."""

import math

import numpy as np
import pytest

from tlj.evidence.scores.metrics import Scores, accuracy, log_softmax, negative_log_likelihood, score


def test_accuracy_is_the_share_of_rows_whose_largest_logit_is_the_label():
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [1.0, 2.0]], np.float32)
    assert accuracy(logits, np.array([0, 1, 1, 1])) == 0.75


def test_loss_of_equal_logits_is_the_log_of_the_number_of_classes():
    assert negative_log_likelihood(np.zeros((3, 8), np.float32), np.array([0, 4, 7])) == pytest.approx(math.log(8))


def test_loss_agrees_with_a_softmax_taken_by_hand():
    logits = np.array([[1.0, 2.0, 0.5]], np.float32)
    expected = -math.log(math.exp(2.0) / (math.exp(1.0) + math.exp(2.0) + math.exp(0.5)))
    assert negative_log_likelihood(logits, np.array([1])) == pytest.approx(expected, rel=1e-12)


def test_softmax_is_taken_in_float64_and_does_not_overflow():
    log_probabilities = log_softmax(np.array([[5000.0, 0.0]], np.float32))
    assert log_probabilities.dtype == np.float64
    assert log_probabilities[0].tolist() == [0.0, -5000.0]


def test_float16_logits_lose_no_precision_in_the_sum_over_classes():
    logits = np.zeros((1, 5000), np.float16)
    assert negative_log_likelihood(logits, np.array([0])) == pytest.approx(math.log(5000), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_counts_as_wrong_and_makes_the_loss_infinite(bad):
    logits = np.array([[bad, 0.0], [3.0, 0.0]], np.float32)
    labels = np.array([0, 0])
    assert accuracy(logits, labels) == 0.5
    assert negative_log_likelihood(logits, labels) == math.inf


def test_a_run_without_an_error_has_half_an_error():
    scores = score(np.array([[1.0, 0.0]] * 50, np.float32), np.zeros(50, int))
    assert (scores.accuracy, scores.examples) == (1.0, 50)
    assert scores.floored_error == 0.01
    assert Scores(0.9, 0.1, 50).floored_error == pytest.approx(0.1)
