"""Scores of one run."""

import math

import numpy as np
import pytest

from tlj.evidence.scores.metrics import Scores, score


def test_classes_have_accuracy_and_the_negative_log_likelihood_as_their_loss():
    scores = score(np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [1.0, 1.0]], np.float32), np.array([0, 1, 1, 0]))
    assert (scores.accuracy, scores.examples) == (0.75, 4)
    assert scores.loss == scores.values["nll"] == scores.value("nll")
    assert scores.temperature is None
    assert scores.values["nll_scaled"] is None


def test_numbers_have_no_accuracy_and_the_squared_error_as_their_loss():
    scores = score(np.array([[1.0], [3.0]], np.float32), np.array([1.0, 1.0], np.float32))
    assert (scores.accuracy, scores.floored_error, scores.loss) == (None, None, 2.0)
    assert scores.value("rmse") == pytest.approx(math.sqrt(2))


def test_sets_of_classes_are_right_where_the_whole_set_is():
    scores = score(np.array([[1.0, -1.0], [1.0, 1.0]], np.float32), np.array([[1, 0], [1, 0]], np.int8))
    assert (scores.accuracy, scores.value("subset_accuracy")) == (0.5, 0.5)
    assert scores.loss == pytest.approx((3 * math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 4)


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.array([[1, 0], [0, 1]], np.int8)])
def test_a_run_that_diverged_has_an_infinite_loss_and_no_value_for_it(labels):
    scores = score(np.array([[np.nan, 0.0], [0.0, 1.0]], np.float32), labels)
    assert scores.loss == math.inf
    assert scores.value("nll") is None
    assert scores.value("loss") is None
    assert scores.accuracy == 0.5


def test_what_is_kept_of_a_run_holds_no_logits():
    rng = np.random.default_rng(0)
    scores = score(rng.normal(size=(500, 5)).astype(np.float32), rng.integers(0, 5, 500), detailed=True)
    arrays = [scores.details["confusion"], *scores.details["reliability"].values()]
    assert sum(array.size for array in arrays) == 5 * 5 + 3 * 15
    assert score(rng.normal(size=(9, 5)), rng.integers(0, 5, 9)).details == {}


def test_a_run_without_an_error_has_half_an_error():
    scores = score(np.array([[1.0, 0.0]] * 50, np.float32), np.zeros(50, int))
    assert (scores.accuracy, scores.examples) == (1.0, 50)
    assert scores.floored_error == 0.01
    assert Scores(0.9, 0.1, 50).floored_error == pytest.approx(0.1)


def test_scores_without_values_still_tell_accuracy_and_loss_by_name():
    scores = Scores(0.9, 0.1, 50)
    assert (scores.value("accuracy"), scores.value("nll"), scores.value("macro_f1")) == (0.9, 0.1, None)
