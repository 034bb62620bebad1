"""The metrics of classes."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.scores.classes import METRICS, auroc, confusions, log_softmax, metrics


def drawn(rows, classes, seed=0, rounded=False):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    logits = rng.normal(size=(rows, classes)) + 0.8 * np.eye(classes)[labels]
    return (np.round(logits) if rounded else logits).astype(np.float32), labels


@settings(max_examples=8, deadline=None)
@given(classes=st.integers(2, 6), seed=st.integers(0, 10**6), rounded=st.booleans())
def test_every_metric_agrees_with_scikit_learn(classes, seed, rounded):
    # Of more than two classes the last bits of a softmax break ties here and there alike.
    logits, labels = drawn(60, classes, seed, rounded and classes == 2)
    found, _ = metrics(logits, labels)
    predicted, probabilities = logits.argmax(1), np.exp(log_softmax(logits))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert found["accuracy"] == sklearn.metrics.accuracy_score(labels, predicted)
    assert found["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="macro"))
    assert found["nll"] == pytest.approx(sklearn.metrics.log_loss(labels, probabilities))
    brier = sklearn.metrics.brier_score_loss(labels, probabilities, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    one = sklearn.metrics.roc_auc_score(
        labels, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr"
    )
    assert found["auroc"] == pytest.approx(one, abs=1e-9)


def test_metrics_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]))
    found, details = metrics(logits.astype(np.float32), np.array([0, 1, 1, 2]))
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found["nll"] == pytest.approx(-(math.log(0.7) + math.log(0.4) + math.log(0.25) + math.log(0.6)) / 4)
    assert found["brier"] == pytest.approx((0.14 + 0.54 + 0.875 + 0.24) / 4)
    # Every confidence is alone in its bin of equal width, and of equal mass.
    assert found["ece"] == pytest.approx((0.3 + 0.6 + 0.5 + 0.4) / 4)
    assert found["ece_equal_mass"] == pytest.approx((0.3 + 0.6 + 0.5 + 0.4) / 4)
    assert details["confusion"].tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_loss_of_equal_logits_is_the_log_of_the_number_of_classes_and_needs_no_luck_in_half_precision():
    found, _ = metrics(np.zeros((3, 5000), np.float16), np.array([0, 4, 7]))
    assert found["nll"] == pytest.approx(math.log(5000), rel=1e-12)
    assert log_softmax(np.array([[5000.0, 0.0]], np.float32))[0].tolist() == [0.0, -5000.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_counts_as_wrong_and_leaves_no_probabilities(bad):
    found, details = metrics(np.array([[bad, 0.0], [3.0, 0.0], [0.0, 3.0]], np.float32), np.array([0, 0, 1]), 2.0)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert {name for name, value in found.items() if value is None} == {"auroc", *METRICS[4:]}
    assert details["confusion"].tolist() == [[1, 0], [0, 1]]


def test_area_under_the_curve_is_of_the_classes_that_some_but_not_all_examples_have():
    logits, labels = drawn(60, 4)
    kept = labels != 3
    scores = log_softmax(logits[kept])
    by_class = [sklearn.metrics.roc_auc_score(labels[kept] == c, scores[:, c]) for c in range(3)]
    assert auroc(logits[kept], scores, labels[kept]) == pytest.approx(np.mean(by_class))
    assert metrics(logits[:, :2], np.ones(60, int))[0]["auroc"] is None


def test_area_of_two_classes_is_that_of_the_second():
    logits = np.array([[0.0, 3.0], [0.0, 1.0], [0.0, 1.0], [0.0, -2.0]], np.float32)
    # Of the four pairs of a positive and a negative three are in order and one is tied.
    assert metrics(logits, np.array([1, 1, 0, 0]))[0]["auroc"] == 0.875
    assert metrics(logits, np.array([0, 0, 1, 1]))[0]["auroc"] == 0.125


def test_scaling_changes_probabilities_and_not_predictions():
    logits, labels = drawn(80, 3)
    found, details = metrics(logits, labels, temperature=2.5)
    plain, _ = metrics(logits / 2.5, labels)
    for name in ("nll", "brier", "ece", "ece_equal_mass"):
        assert found[f"{name}_scaled"] == pytest.approx(plain[name])
        assert found[name] != found[f"{name}_scaled"]
    assert found["accuracy"] == plain["accuracy"]
    assert set(details["reliability"]) == {"before", "after"}


def test_many_classes_keep_the_confused_pairs_alone():
    labels, predicted = np.array([3, 3, 3, 7, 30]), np.array([3, 5, 5, 3, 30])
    assert confusions(labels, predicted, 40)["confused"].tolist() == [[3, 5, 2], [7, 3, 1]]
    assert confusions(labels, predicted, 40).keys() == {"confused"}
