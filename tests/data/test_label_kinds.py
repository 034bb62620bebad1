import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tlj.data.label_kinds import BINS, are_numbers, are_sets, as_held, count_classes, strata

quick = settings(deadline=None, derandomize=True)

CLASSES = np.array([2, 0, 2], np.int64)
SETS = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1]], np.int64)
NUMBERS = np.array([0.5, -1.0, 3.0])


def test_what_labels_are_shows_in_their_type_and_shape():
    assert [are_sets(labels) for labels in (CLASSES, SETS, NUMBERS)] == [False, True, False]
    assert [are_numbers(labels) for labels in (CLASSES, SETS, NUMBERS)] == [False, False, True]
    assert [as_held(labels).dtype for labels in (CLASSES, SETS, NUMBERS)] == [np.int32, np.int8, np.float32]


def test_an_example_counts_for_every_class_it_has():
    assert count_classes(CLASSES, 4).tolist() == [1, 0, 2, 0]
    assert count_classes(SETS, 3).tolist() == [1, 0, 2]


def test_the_stratum_of_a_class_is_the_class():
    assert strata(CLASSES) is CLASSES


def test_the_stratum_of_a_set_is_its_rarest_class_and_that_of_none_its_own():
    sets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1]], np.int8)
    # Class 0 is in four sets, the others in three each: the first of the two stands for both.
    assert strata(sets).tolist() == [1, 0, 2, 1, 3, 1]


@quick
@given(arrays(np.int8, st.tuples(st.integers(1, 60), st.integers(2, 6)), elements=st.integers(0, 1)))
def test_a_stratum_of_sets_is_a_class_that_the_set_has_and_none_is_rarer(sets):
    counts = sets.sum(0)
    for held, stratum in zip(sets, strata(sets), strict=True):
        if held.any():
            assert held[stratum]
            assert counts[stratum] == counts[held > 0].min()
        else:
            assert stratum == sets.shape[1]


@quick
@given(arrays(np.float32, st.integers(0, 200), elements=st.floats(-9, 9, width=16)))
def test_strata_of_numbers_rise_with_them_and_hold_equal_numbers_together(numbers):
    order = np.argsort(numbers, kind="stable")
    found = strata(numbers)[order]
    assert (np.diff(found) >= 0).all()
    assert (found[1:] == found[:-1])[numbers[order][1:] == numbers[order][:-1]].all()


@pytest.mark.parametrize("count", [10, 95, 1000])
def test_strata_of_distinct_numbers_are_of_like_size(count):
    numbers = np.random.default_rng(0).permutation(count).astype(np.float32)
    sizes = np.bincount(strata(numbers))
    assert len(sizes) == BINS
    assert sizes.max() - sizes.min() <= 1
