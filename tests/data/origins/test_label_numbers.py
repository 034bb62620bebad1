import decimal

import numpy as np
import pytest

from tlj.data.origins.label_numbers import number_of, read_numbers


@pytest.mark.parametrize(
    ("value", "number"),
    [("3.5", 3.5), (" -2 ", -2.0), ("1e3", 1000.0), (".5", 0.5), (7, 7.0), (2.5, 2.5), (b"4", 4.0)]
    + [(decimal.Decimal("1.25"), 1.25), (np.float32(0.5).item(), 0.5)],
)
def test_a_number_is_one_in_any_spelling(value, number):
    assert number_of(value) == number


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the label is empty"),
        (" ", "the label is empty"),
        ("NaN", "the label is NaN"),
        (float("nan"), "the label is NaN"),
        ("3,5", "the label '3,5' is no number"),
        ("1_000", "the label '1_000' is no number"),
        ("inf", "the label 'inf' is no number"),
        (float("inf"), "the label inf is too large"),
        ("1e39", "the label '1e39' is too large"),
        ("good", "the label 'good' is no number"),
        (True, "the label True is no number"),
        ([1.0], "the label [1.0] is no number"),
    ],
)
def test_what_is_no_number_is_told_and_why(value, reason):
    assert number_of(value) == reason


def test_numbers_have_no_classes_and_what_is_none_is_named_by_its_example():
    found = read_numbers(["1.5", "x", "2"], np.array([0, 1, 0, 2, 1]))
    assert found.classes == ()
    assert found.labels.dtype == np.float32
    assert found.labels[[0, 2, 3]].tolist() == [1.5, 1.5, 2.0]
    assert found.reasons == {1: "the label 'x' is no number", 4: "the label 'x' is no number"}
