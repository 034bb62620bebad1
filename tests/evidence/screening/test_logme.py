"""LogME against the marginal likelihood of the labels, computed directly."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tlj.evidence.screening.logme import log_evidence, logme


def exact(features, target, alpha, beta):
    """The log density of the labels with the weights integrated out, per example."""
    n = len(target)
    covariance = np.eye(n) / beta + features @ features.T / alpha
    return multivariate_normal(np.zeros(n), covariance).logpdf(target) / n


def found(features, target):
    vectors, singular, _ = np.linalg.svd(features, full_matrices=False)
    return log_evidence(features.shape[1], singular**2, vectors.T @ target, target)


@pytest.mark.parametrize(("n", "width"), [(60, 100), (100, 60), (60, 60), (200, 5)])
def test_it_is_the_exact_evidence_at_the_precisions_found_whatever_the_rank(n, width):
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(n, width)), rng.integers(0, 2, n).astype(float)
    evidence, alpha, beta = found(features, target)
    assert evidence == pytest.approx(exact(features, target, alpha, beta), abs=1e-6)


def test_directions_without_data_do_not_count():
    rng = np.random.default_rng(1)
    features, target = rng.normal(size=(60, 20)), rng.integers(0, 2, 60).astype(float)
    wider = np.concatenate([features, np.zeros((60, 80))], axis=1)
    assert found(wider, target)[0] == pytest.approx(found(features, target)[0], abs=1e-9)


def test_the_precisions_are_those_that_make_the_labels_most_probable():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(80, 10))
    target = features @ rng.normal(size=10) + 0.5 * rng.normal(size=80)
    evidence, alpha, beta = found(features, target)
    for factor in (0.5, 2.0):
        assert exact(features, target, alpha * factor, beta) < evidence
        assert exact(features, target, alpha, beta * factor) < evidence


def test_features_that_hold_the_classes_score_above_features_that_do_not():
    rng = np.random.default_rng(3)
    labels = np.arange(90) % 3
    centres = rng.normal(size=(3, 30))
    assert logme(centres[labels] + rng.normal(size=(90, 30)), labels) > logme(rng.normal(size=(90, 30)), labels) + 0.1


def test_it_is_the_mean_over_classes_one_against_the_rest():
    rng = np.random.default_rng(4)
    features, labels = rng.normal(size=(50, 8)), np.arange(50) % 3
    each = [found(features, (labels == name).astype(float))[0] for name in range(3)]
    assert logme(features, labels) == pytest.approx(np.mean(each))


def test_features_without_anything_in_them_have_no_score():
    assert logme(np.zeros((10, 4)), np.arange(10) % 2) is None
