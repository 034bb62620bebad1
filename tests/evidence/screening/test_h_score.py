"""The H-score."""

import numpy as np
import pytest

from tlj.evidence.screening.h_score import h_score

RNG = np.random.default_rng(0)


def test_with_many_examples_it_is_the_trace_of_the_definition():
    labels = RNG.integers(0, 3, 6000)
    features = RNG.normal(size=(6000, 4)) @ RNG.normal(size=(4, 4)) + 2 * RNG.normal(size=(3, 4))[labels]
    means = np.stack([features[labels == name].mean(axis=0) for name in range(3)])[labels]
    wanted = np.trace(np.linalg.pinv(np.cov(features.T, bias=True)) @ np.cov(means.T, bias=True))
    assert h_score(features, labels) == pytest.approx(wanted, rel=0.02)


def test_classes_that_are_wholly_apart_score_their_number_less_one():
    labels = np.arange(400) % 4
    assert h_score(100 * np.eye(4)[labels] + 0.1 * RNG.normal(size=(400, 4)), labels) == pytest.approx(3, rel=0.05)


def test_noise_in_more_directions_than_examples_does_not_look_like_classes():
    labels = np.arange(60) % 3
    noise, apart = RNG.normal(size=(60, 300)), RNG.normal(size=(60, 300)) + 2 * RNG.normal(size=(3, 300))[labels]
    # Without shrinkage both would be 2.
    assert h_score(noise, labels) < 0.5 < 1 < h_score(apart, labels) <= 2


def test_scale_and_shift_change_nothing_and_a_constant_has_no_score():
    features, labels = RNG.normal(size=(80, 6)), np.arange(80) % 2
    assert h_score(1e-4 * features + 5, labels) == pytest.approx(h_score(features, labels), rel=1e-6)
    assert h_score(np.ones((8, 3)), np.arange(8) % 2) is None
