"""Counts by group of one run."""

import numpy as np
import pyarrow as pa
import pytest

from tlj.evidence.predictions import Predictions
from tlj.evidence.scores.group_counts import group_counts


def predictions(labels, said, groups, classes=2):
    logits = np.eye(classes, dtype=np.float32)[np.array(said)]
    ids = pa.array([f"{i:03d}" for i in range(len(labels))])
    return Predictions(ids, np.array(labels, np.int32), logits, pa.array(groups, pa.string()))


def test_rates_are_those_counted_by_hand():
    found = group_counts(predictions([1, 1, 0, 0, 0, 1, 0], [1, 0, 1, 0, 0, 1, 1], [*"aaaaa", *"bb"]))
    assert (found.grouping.names, found.grouping.sizes.tolist()) == (("a", "b"), [5, 2])
    np.testing.assert_allclose(found.accuracy, [3 / 5, 1 / 2])
    np.testing.assert_allclose(found.true_positive_rates[:, 1], [1 / 2, 1])
    np.testing.assert_allclose(found.false_positive_rates[:, 1], [1 / 3, 1])
    np.testing.assert_allclose(found.selection_rates[:, 1], [2 / 5, 1])
    np.testing.assert_array_equal(found.unpacked(), [1, 0, 0, 1, 1, 1, 0])


def test_a_rate_of_none_is_not_a_number_and_not_zero():
    found = group_counts(predictions([1, 1, 0], [1, 0, 0], ["a", "a", "b"]))
    assert np.isnan(found.true_positive_rates[1, 1])
    assert np.isnan(found.false_positive_rates[0, 1])


def test_what_is_not_finite_is_wrong_and_says_no_class():
    given = predictions([1, 1], [1, 1], ["a", "a"])
    given.logits[0, 0] = np.nan
    found = group_counts(given)
    assert (found.said.tolist(), found.hits.tolist(), found.unpacked().tolist()) == ([[0, 1]], [[0, 1]], [False, True])


def test_an_example_without_a_group_is_in_none():
    found = group_counts(predictions([0, 0, 1], [0, 1, 1], ["a", None, "b"]))
    assert found.grouping.codes.tolist() == [0, -1, 1]
    assert found.grouping.sizes.sum() == 2


@pytest.mark.parametrize("groups", [[None, None], None])
def test_data_without_groups_have_no_counts(groups):
    given = predictions([0, 1], [0, 1], groups or ["a", "b"])
    assert group_counts(Predictions(given.ids, given.labels, given.logits, groups and given.groups)) is None


def test_numbers_and_sets_have_no_counts():
    ids, groups = pa.array(["0", "1"]), pa.array(["a", "b"])
    for labels in (np.array([0.5, 1.5], np.float32), np.zeros((2, 3), np.int8)):
        assert group_counts(Predictions(ids, labels, np.zeros((2, 3), np.float32), groups)) is None


def test_runs_on_one_test_set_share_its_groups():
    first, second = (group_counts(predictions([0, 1], said, ["b", "a"])) for said in ([0, 1], [1, 0]))
    assert first.grouping is second.grouping
    assert first.right.nbytes == 1
