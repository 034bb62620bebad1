"""The vote of nearest neighbours."""

import numpy as np
import pytest

from tlj.evidence.screening import neighbours
from tlj.evidence.screening.neighbours import neighbour_accuracy, neighbour_count


@pytest.mark.parametrize(
    ("examples", "classes", "count"), [(500, 5, 20), (105, 5, 20), (100, 5, 19), (10, 5, 1), (6, 5, 1), (2, 2, 1)]
)
def test_no_more_neighbours_vote_than_a_class_has_others(examples, classes, count):
    assert neighbour_count(examples, classes) == count


def test_separate_directions_are_told_apart_whatever_their_lengths():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = (np.eye(3)[labels] + 0.05 * rng.normal(size=(60, 3))) * rng.uniform(0.01, 100, (60, 1))
    assert neighbour_accuracy(features, labels) == 1.0


def test_an_example_does_not_vote_for_itself():
    # Each example is nearest to itself, then to its partner of the other class.
    angles = np.repeat(np.arange(8), 2) * 0.7 + np.tile([0, 0.01], 8)
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.tile([0, 1], 8)
    assert neighbour_accuracy(features[:2], labels[:2]) == 0.0


def test_one_near_neighbour_outvotes_two_far_ones():
    # Three vote: a partner of the same class in the same direction, and two of the other class further away.
    near, far = np.array([[1, 0, 0, 0], [0.3, 1, 0, 0]]), np.array([[0, 0, 1, 0], [0, 0, 0.3, 1]])
    features = np.repeat(np.concatenate([near, far]), 2, axis=0)
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    assert neighbour_count(8, 2) == 3
    assert neighbour_accuracy(features, labels) == 1.0


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(70, 6)), rng.integers(0, 3, 70)
    whole = neighbour_accuracy(features, labels)
    monkeypatch.setattr(neighbours, "_CHUNK", 9)
    assert neighbour_accuracy(features, labels) == whole


def test_features_of_length_zero_are_no_error():
    assert 0 <= neighbour_accuracy(np.zeros((6, 3)), np.arange(6) % 2) <= 1
