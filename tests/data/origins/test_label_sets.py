import numpy as np
import pytest

from tlj.data.origins.label_sets import members_of, number_sets
from tlj.data.settings import DataSettings
from tlj.errors import InputError


def numbered(values, codes=None, parts=None, own=(), **settings):
    codes = np.arange(len(values)) if codes is None else np.array(codes)
    return number_sets(values, codes, parts or {}, DataSettings("x", task="multilabel", **settings), own, "x")


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("cat|dog", ["cat", "dog"]),
        ("cat", ["cat"]),
        ("", []),
        (" ", []),
        ("[]", []),
        ('["a|b", 3]', ["a|b", 3]),
        ("[a", ["[a"]),
        (b"cat|dog", ["cat", "dog"]),
        (["cat"], ["cat"]),
        ([], []),
        (3, [3]),
        (None, None),
        (float("nan"), None),
    ],
)
def test_a_set_is_a_list_or_names_between_bars(value, members):
    assert members_of(value) == members


def test_every_class_has_a_column_with_one_where_it_is_in_the_set():
    found = numbered(["dog|cat", "", "cat | cat", "bird"], codes=[0, 1, 2, 3, 0])
    assert found.classes == ("bird", "cat", "dog")
    assert found.labels.dtype == np.int8
    assert found.labels.tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]]
    assert not found.reasons


def test_numbers_and_names_of_the_data_set_are_read_as_for_single_labels():
    assert numbered([[1, 10], [2]]).classes == ("1", "2", "10")
    assert numbered([[0], [1, 0]], own=("a", "b")).labels.tolist() == [[1, 0], [1, 1]]
    assert numbered(["b", "a|b"], classes=("b", "a")).labels.tolist() == [[1, 0], [1, 1]]


def test_a_set_is_unusable_where_it_is_missing_or_has_what_is_no_class_of_training():
    found = numbered(["a|b", "b|c", None, [["a"]]], parts={"train": np.array([0]), "test": np.array([1, 2, 3])})
    assert found.classes == ("a", "b")
    assert found.reasons == {
        1: "the label 'c' is not a label of the split 'train': a, b",
        2: "the label is empty",
        3: "the label ['a'] is neither a name nor a whole number",
    }


def test_fewer_than_two_classes_are_refused():
    with pytest.raises(InputError, match="every label is 'a': there is one class"):
        numbered(["a", "a|a", ""])
    with pytest.raises(InputError, match="no example has a label"):
        numbered(["", "[]"])
