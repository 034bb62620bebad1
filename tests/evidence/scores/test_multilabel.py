"""The metrics of sets of classes."""

import numpy as np
import pytest
import sklearn.metrics

from tlj.evidence.scores.multilabel import metrics


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 4)).astype(np.int8)
    logits = rng.normal(size=(50, 4)) + labels
    found, predicted = metrics(logits, labels), logits > 0
    assert found["mean_average_precision"] == pytest.approx(sklearn.metrics.average_precision_score(labels, logits))
    assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="macro"))
    assert found["micro_f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="micro"))
    assert found["subset_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))


def test_metrics_by_hand():
    found = metrics(np.array([[2.0, -1.0], [-1.0, -1.0]]), np.array([[1, 1], [0, 0]], np.int8))
    assert (found["subset_accuracy"], found["micro_f1"], found["macro_f1"]) == (0.5, pytest.approx(2 / 3), 0.5)
    # The second class ranks its example level with the other.
    assert found["mean_average_precision"] == pytest.approx((1 + 0.5) / 2)


def test_a_class_that_nothing_has_or_gets_is_left_out():
    labels = np.array([[1, 0], [0, 0]], np.int8)
    found = metrics(np.array([[1.0, -1.0], [-1.0, -2.0]]), labels)
    assert (found["macro_f1"], found["mean_average_precision"]) == (1.0, 1.0)
    nothing = metrics(np.full((2, 2), -1.0), np.zeros((2, 2), np.int8))
    assert (nothing["macro_f1"], nothing["mean_average_precision"], nothing["subset_accuracy"]) == (None, None, 1.0)


def test_a_row_that_is_not_finite_has_no_right_set():
    found = metrics(np.array([[np.nan, -1.0], [1.0, -1.0]]), np.array([[0, 0], [1, 0]], np.int8))
    assert (found["subset_accuracy"], found["loss"], found["mean_average_precision"]) == (0.5, None, None)
    assert found["macro_f1"] == 1.0
