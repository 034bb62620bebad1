"""The linear probe and the distance of two data sets."""

import numpy as np
import pytest

from tlj.evidence.screening.probe import probe_accuracy, proxy_a_distance

RNG = np.random.default_rng(0)
LABELS = np.arange(120) % 3
CENTRES = 4 * RNG.normal(size=(3, 10))


def test_classes_that_are_apart_are_told_apart_and_noise_is_not():
    assert probe_accuracy(CENTRES[LABELS] + RNG.normal(size=(120, 10)), LABELS) > 0.95
    assert probe_accuracy(RNG.normal(size=(120, 10)), LABELS) < 0.5


def test_what_it_has_seen_is_not_what_it_is_scored_on():
    # More features than examples: in training every label fits.
    assert probe_accuracy(RNG.normal(size=(120, 400)), LABELS) < 0.5


def test_the_scale_of_a_feature_does_not_matter():
    features = CENTRES[LABELS] + 3 * RNG.normal(size=(120, 10))
    scaled = features * np.logspace(-3, 3, 10)
    assert probe_accuracy(scaled, LABELS) == pytest.approx(probe_accuracy(features, LABELS), abs=0.02)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0, 1]])
def test_too_few_examples_of_a_class_are_no_score_and_no_error(labels):
    assert probe_accuracy(RNG.normal(size=(4, 2)), np.array(labels)) is None


def test_a_class_with_a_single_example_is_missed():
    labels = np.array([0] * 10 + [1] * 10 + [2])
    features = 10.0 * np.eye(3)[labels] + 0.1 * RNG.normal(size=(21, 3))
    assert probe_accuracy(features, labels) == pytest.approx(20 / 21)


def test_one_data_set_is_near_itself_and_another_is_far():
    same, error = proxy_a_distance(RNG.normal(size=(200, 5)), RNG.normal(size=(200, 5)))
    assert same < 0.4
    assert error > 0.4
    assert proxy_a_distance(RNG.normal(size=(200, 5)), RNG.normal(20, 1, (200, 5))) == (2.0, 0.0)


def test_a_distance_is_two_less_four_errors_and_never_below_zero():
    near, error = proxy_a_distance(RNG.normal(size=(150, 3)), RNG.normal(1, 1, (150, 3)))
    assert near == pytest.approx(2 - 4 * error)
    assert 0 < near < 2
    assert all(proxy_a_distance(*np.random.default_rng(seed).normal(size=(2, 20, 4)))[0] >= 0 for seed in range(4))


def test_many_of_one_and_few_of_the_other_are_not_far_for_that():
    distance, error = proxy_a_distance(RNG.normal(size=(300, 4)), RNG.normal(size=(15, 4)))
    assert distance < 0.2
    assert error == pytest.approx(0.5, abs=0.1)
