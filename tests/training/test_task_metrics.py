import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.training.task_metrics import loss_and_accuracy, of_numbers, of_sets, of_two_classes

quick = settings(max_examples=60, deadline=None, derandomize=True)
UNDEFINED = {"r2": None, "pearson": None, "spearman": None}


def test_loss_and_accuracy_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32))
    loss, accuracy = loss_and_accuracy(logits, np.array([0, 1]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-6)
    assert accuracy == 0.5


def test_huge_logits_give_a_finite_loss():
    loss, _ = loss_and_accuracy(np.array([[1e4, -1e4]], np.float32), np.array([1]))
    assert loss == pytest.approx(2e4)
    assert of_sets(np.array([[1e4, -1e4]], np.float32), np.array([[0, 1]], np.int8))["loss"] == pytest.approx(1e4)


def test_the_auroc_is_the_share_of_pairs_in_the_right_order_ties_half():
    logits = np.array([[0, 2], [0, 1], [0, 1], [0, 0]], np.float32)
    assert of_two_classes(logits, np.array([1, 1, 0, 0]))["auroc"] == (4 - 0.5) / 4


def test_the_auroc_of_one_class_is_none():
    assert of_two_classes(np.zeros((3, 2), np.float32), np.ones(3, int))["auroc"] is None


@quick
@given(st.integers(0, 9999), st.integers(1, 30), st.integers(2, 5), st.floats(0, 1))
def test_metrics_of_sets_are_those_of_scikit_learn(seed, count, classes, density):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)).astype(np.float32)
    labels = (rng.random((count, classes)) < density).astype(np.int8)
    found, predicted = of_sets(logits, labels), (logits > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macro = sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=np.nan)
        micro = sklearn.metrics.f1_score(labels, predicted, average="micro", zero_division=np.nan)
        precision = [
            sklearn.metrics.average_precision_score(labels[:, c], logits[:, c])
            for c in range(classes)
            if labels[:, c].any()
        ]
    assert found["macro_f1"] == (None if math.isnan(macro) else pytest.approx(macro))
    assert found["micro_f1"] == (None if math.isnan(micro) else pytest.approx(micro))
    assert found["mean_average_precision"] == (pytest.approx(np.mean(precision)) if precision else None)
    assert found["subset_accuracy"] == sklearn.metrics.accuracy_score(labels, predicted)
    assert found["loss"] == pytest.approx(np.mean(np.log1p(np.exp(np.where(labels, -1, 1) * logits.astype(float)))))


def test_metrics_of_numbers_by_hand():
    found = of_numbers(np.array([[1.0], [2.0], [6.0]], np.float32), np.array([1, 3, 5], np.float32))
    assert found["loss"] == pytest.approx(2 / 3)
    assert found["rmse"] == pytest.approx(np.sqrt(2 / 3))
    assert found["mae"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - 2 / 8)
    assert found["spearman"] == 1.0
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr([1, 2, 6], [1, 3, 5]).statistic)


def test_what_the_labels_leave_undefined_is_none():
    logits, alike = np.array([[1.0], [2.0]], np.float32), np.full(2, 3, np.float32)
    assert of_numbers(logits, alike).items() >= UNDEFINED.items()
    assert of_numbers(logits[:1], alike[:1]).items() >= UNDEFINED.items()
    constant = of_numbers(alike[:, None], np.array([1, 2], np.float32))
    assert (constant["pearson"], constant["spearman"]) == (None, None)
    assert constant["r2"] == pytest.approx(1 - 2.5 / 0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_that_diverged_has_metrics_that_are_no_numbers_and_no_error(bad):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classes = of_two_classes(np.array([[0, bad], [0, 1]], np.float32), np.array([0, 1]))
        sets = of_sets(np.array([[bad, 0], [0, 1]], np.float32), np.eye(2, dtype=np.int8))
        numbers = of_numbers(np.array([[bad], [1]], np.float32), np.array([1, 2], np.float32))
    assert not math.isfinite(classes["loss"])
    assert math.isnan(classes["auroc"])
    assert not math.isfinite(sets["loss"])
    assert math.isnan(sets["mean_average_precision"])
    assert not math.isfinite(numbers["rmse"])
    assert math.isnan(numbers["pearson"])
