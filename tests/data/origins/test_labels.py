"""Labels as data sets write them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tlj.data.origins.labels import declared_classes, label_of, number_labels, unlabelled_parts
from tlj.data.settings import DataSettings
from tlj.errors import InputError


def numbered(labels, classes=(), parts=None, own=()):
    values = list(dict.fromkeys(labels))
    codes = np.array([values.index(label) for label in labels])
    parts = {name: np.array(part) for name, part in (parts or {}).items()}
    return number_labels(values, codes, parts, DataSettings("csv:a", classes=classes), own, "a.csv")


@pytest.mark.parametrize("three", [3, "3", " 3 ", 3.0, "3.0", np.int64(3), np.float32(3), b"3"])
def test_three_is_the_same_label_in_every_spelling(three):
    assert label_of(three) == 3
    assert isinstance(label_of(three), int)


@pytest.mark.parametrize("name", ["03", "3.5", "3a", "-", "1e3", "True"])
def test_a_text_that_is_no_plain_whole_number_is_a_name(name):
    assert label_of(name) == name


def test_truth_values_are_one_and_zero():
    assert (label_of(True), label_of(np.bool_(False))) == (1, 0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is empty"),
        ("  ", "is empty"),
        (math.nan, "is NaN"),
        ("nan", "is NaN"),
        (2.5, "2.5 is neither a name nor a whole number"),
        (math.inf, "inf is neither"),
    ],
)
def test_what_cannot_be_a_label_has_a_reason_by_example(value, reason):
    found = numbered(["a", "b", value])
    assert found.labels.tolist() == [0, 1, -1]
    assert list(found.reasons) == [2]
    assert reason in found.reasons[2]


def test_names_are_classes_in_alphabetical_order():
    found = numbered(["dog", "cat", "dog", "ant"])
    assert found.classes == ("ant", "cat", "dog")
    assert found.labels.tolist() == [2, 1, 2, 0]


def test_numbers_are_classes_in_their_own_order():
    found = numbered(["10", "9", "-1", "9"])
    assert found.classes == ("-1", "9", "10")
    assert found.labels.tolist() == [2, 1, 0, 1]


def test_numbers_beside_names_are_names():
    assert numbered([3, "b", "a"]).classes == ("3", "a", "b")


@hypothesis_settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(-5, 12), min_size=2).filter(lambda labels: len(set(labels)) > 1))
def test_an_index_leads_back_to_the_label(labels):
    found = numbered(labels)
    assert [int(found.classes[index]) for index in found.labels] == labels
    assert sorted(set(labels)) == [int(name) for name in found.classes]


def test_declared_names_are_indexed_by_numbers_and_found_by_name():
    assert numbered([1, 0, 1], classes=("negative", "positive")).labels.tolist() == [1, 0, 1]
    assert numbered(["b", "a"], classes=("b", "a")).labels.tolist() == [0, 1]


def test_declared_names_that_are_numbers_are_names_first():
    assert numbered([1, 0, 1], classes=("1", "0")).labels.tolist() == [0, 1, 0]


def test_a_label_outside_the_declared_classes_is_told_with_the_classes():
    found = numbered(["a", "c", 2, -1], classes=("a", "b"))
    assert found.labels.tolist() == [0, -1, -1, -1]
    assert "'c' is not one of the 2 classes a, b" in found.reasons[1]
    assert {1, 2, 3} == set(found.reasons)


def test_a_label_that_training_lacks_is_told_and_makes_no_class():
    found = numbered(["a", "b", "a", "c"], parts={"train": [0, 1], "test": [2, 3]})
    assert found.classes == ("a", "b")
    assert found.reasons == {3: "the label 'c' is not a label of the split 'train': a, b"}


def test_without_a_training_split_classes_come_from_everywhere():
    assert numbered(["a", "b", "c"], parts={"one": [0, 1], "two": [2]}).classes == ("a", "b", "c")


@pytest.mark.parametrize("labels", [["a", "a"], [3, 3.0, "3"]])
def test_one_class_is_an_error(labels):
    with pytest.raises(InputError, match=r"a\.csv: every label is .*: there is one class"):
        numbered(labels)


def test_names_of_the_data_set_are_indexed_and_keep_their_order():
    found = numbered([1, 0, 2, -1], own=("dog", "cat"))
    assert found.classes == ("dog", "cat")
    assert found.labels.tolist() == [1, 0, -1, -1]
    assert found.reasons[2] == "the label 2 is outside 0 to 1"


def test_declared_classes_reorder_those_of_the_data_set_by_name():
    assert numbered([0, 1], classes=("cat", "dog"), own=("dog", "cat")).labels.tolist() == [1, 0]


def test_numbers_of_a_data_set_without_names_can_be_named():
    assert numbered([0, 1], classes=("dog", "cat"), own=("0", "1")).labels.tolist() == [0, 1]


def test_other_names_than_those_of_the_data_set_are_an_error():
    with pytest.raises(InputError, match="'dog' is not declared; give its names in the order you want: dog, cat"):
        numbered([0, 1], classes=("katze", "hund"), own=("dog", "cat"))


def test_a_split_that_is_all_minus_one_or_empty_has_no_labels():
    codes = np.array([0, 1, 2, 2, 3])
    parts = {"train": np.array([0, 1]), "test": np.array([2, 3]), "more": np.array([4])}
    assert unlabelled_parts([0, 1, -1, None], codes, parts) == ("test", "more")


def test_minus_one_is_a_label_where_training_has_it():
    codes, parts = np.array([0, 1, 1]), {"train": np.array([0, 1]), "test": np.array([2])}
    assert unlabelled_parts([1, -1], codes, parts) == ()


def test_declared_classes_are_read_from_a_file(written):
    file = written("labels.txt", "\ufeffdog \r\ncat\r\n\r\n")
    assert declared_classes(DataSettings("csv:a", classes=(str(file),))) == ("dog", "cat")
    assert declared_classes(DataSettings("csv:a")) == ()
    assert declared_classes(DataSettings("csv:a", classes=("b", "a"))) == ("b", "a")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("a\n\nb", "class 2 has no name"),
        ("a\nb\na", "'a' is class 1 and class 3"),
        ("a", "fewer than two classes"),
        ("", "fewer than two classes"),
        (b"\xff\xfea", "cannot be read"),
    ],
)
def test_a_bad_file_of_classes_is_one_line_with_its_name(written, content, error):
    file = written("labels.txt", content)
    with pytest.raises(InputError, match=rf"labels\.txt: .*{error}"):
        declared_classes(DataSettings("csv:a", classes=(str(file),)))


def test_a_single_class_that_is_no_file_is_an_error():
    with pytest.raises(InputError, match="'cat' is a single class, and no file has that name"):
        declared_classes(DataSettings("csv:a", classes=("cat",)))


def test_where_no_label_can_be_used_the_reason_is_told():
    with pytest.raises(InputError, match="no example has a label: of the first, the label 0.5 is neither a name nor"):
        numbered([0.5, 1.5])


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-that-name/classes.txt"])
def test_a_file_of_classes_that_cannot_be_is_one_line(name):
    with pytest.raises(InputError, match="config.data.classes: "):
        declared_classes(DataSettings("folder:a", classes=(name,)))
