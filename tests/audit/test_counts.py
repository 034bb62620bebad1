"""Counts of classes."""

import numpy as np

from tlj.audit.counts import FEW, count_classes


def test_absent_and_small_classes_are_named_and_the_balance_is_of_those_present():
    labels = np.array([0] * 50 + [1] * 5 + [2] * FEW)
    train, test = count_classes(labels, ("a", "b", "c", "d"), {"train": np.arange(65), "test": np.arange(50)})
    assert train["classes"] == [50, 5, FEW, 0]
    assert (train["absent"], train["few"]) == (["d"], ["b"])
    assert train["imbalance"] == 10
    assert train["majority"] == 50 / 65
    assert (test["absent"], test["few"], test["imbalance"], test["majority"]) == (["b", "c", "d"], [], 1, 1)


def test_a_split_without_examples_has_no_balance():
    (row,) = count_classes(np.zeros(0, int), ("a",), {"train": np.zeros(0, int)})
    assert (row["classes"], row["imbalance"], row["majority"]) == ([0], None, None)
