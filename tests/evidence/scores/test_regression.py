"""The metrics of numbers."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tlj.evidence.scores.regression import METRICS, metrics


def test_metrics_by_hand():
    found = metrics(np.array([[1.0], [2.0], [6.0]]), np.array([1.0, 3.0, 5.0]))
    assert found["loss"] == pytest.approx(2 / 3)
    assert found["rmse"] == pytest.approx(math.sqrt(2 / 3))
    assert found["mae"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - 2 / 8)
    assert found["spearman"] == pytest.approx(1.0)


def test_metrics_agree_with_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=40)
    predicted = 0.5 * labels + rng.normal(size=40)
    found = metrics(predicted[:, None], labels)
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(labels, predicted))
    assert found["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(labels, predicted))
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(labels, predicted).statistic)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(labels, predicted).statistic)


@pytest.mark.parametrize(
    ("predicted", "labels", "undefined"),
    [
        ([1.0, np.nan], [1.0, 2.0], set(METRICS)),
        ([1.0, 2.0], [3.0, 3.0], {"r2", "pearson", "spearman"}),
        ([2.0, 2.0], [1.0, 3.0], {"pearson", "spearman"}),
    ],
)
def test_what_is_not_defined_is_none(predicted, labels, undefined):
    found = metrics(np.array(predicted)[:, None], np.array(labels))
    assert {name for name, value in found.items() if value is None} == undefined
