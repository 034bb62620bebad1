"""One run on shifted test sets."""

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics

from tlj.evidence.predictions import Predictions
from tlj.evidence.scores.shift_scores import confidence, shift_scores, told_apart


def predictions(logits, labels):
    return Predictions(pa.array([str(i) for i in range(len(labels))]), np.asarray(labels), np.float32(logits))


def test_auroc_is_scikit_learns_with_ties():
    rng = np.random.default_rng(0)
    own, shifted = rng.integers(3, 10, 200) / 10, rng.integers(0, 8, 90) / 10
    wanted = sklearn.metrics.roc_auc_score([1] * 200 + [0] * 90, [*own, *shifted])
    assert told_apart(own, shifted)[0] == pytest.approx(wanted)


def test_the_threshold_keeps_at_least_95_percent_of_the_own_test():
    own = np.linspace(0.5, 0.99, 100)
    shifted = np.array([0.1, 0.5, 0.52, 0.6, 0.9])
    # The 95th largest of the own is 0.5248: two of five are as large.
    assert told_apart(own, shifted)[1] == pytest.approx(2 / 5)
    assert told_apart(own, np.zeros(4)) == (1.0, 0.0)
    assert told_apart(np.full(7, 0.5), np.full(3, 0.5)) == (0.5, 1.0)


def test_confidence_is_the_largest_probability():
    np.testing.assert_allclose(confidence(np.log([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])), [0.5, 0.9])


def test_every_shifted_split_is_scored_by_every_metric():
    test = predictions([[3, 0], [0, 3]], [0, 1])
    fog = predictions([[1, 0], [1, 0], [0, 1]], [0, 1, 1])
    found = shift_scores({"validation": test, "test": test, "shift:fog": fog})
    assert set(found) == {"fog"}
    assert found["fog"].scores.value("accuracy") == pytest.approx(2 / 3)
    assert found["fog"].scores.value("ece_scaled") is not None
    assert found["fog"].auroc == 1.0
    assert shift_scores({"test": test}) == {}


def test_logits_that_are_not_finite_are_not_told_apart():
    test = predictions([[3, 0], [0, 3]], [0, 1])
    fog = predictions([[np.nan, 0], [1, 0]], [0, 0])
    found = shift_scores({"test": test, "shift:fog": fog})["fog"]
    assert (found.auroc, found.fpr_at_95, found.scores.value("accuracy")) == (None, None, 0.5)


def test_numbers_are_scored_and_have_no_confidence():
    test = predictions([[1.0], [2.0]], np.float32([1, 2]))
    found = shift_scores({"test": test, "shift:far": predictions([[1.0], [4.0]], np.float32([1, 2]))})["far"]
    assert found.auroc is None
    assert found.scores.value("rmse") == pytest.approx(np.sqrt(2))
