"""Copies named: against training, within a split, and with labels that differ."""

import numpy as np
import pytest

from tlj.audit import duplicates
from tlj.audit.copies import Copies, same_content
from tlj.audit.duplicates import Copied, conflicts, copies_of_training, copies_within


def copied(exact, loose, labels, split) -> Copied:
    in_train = np.array([name == "train" for name in split])
    ways = [same_content("identical", exact, in_train), same_content("normalised", loose, in_train)]
    ids = [f"{name}/{i}" for i, name in enumerate(split)]
    return Copied(ways, ids, np.array(labels), ("no", "yes"), np.array(split, dtype=object))


@pytest.fixture
def six() -> Copied:
    return copied([1, 2, 3, 1, 4, 5], [1, 2, 1, 1, 2, 5], [0, 1, 0, 0, 0, 1], ["train"] * 3 + ["test"] * 3)


def test_each_test_example_is_named_once_by_its_strictest_likeness(six):
    found = copies_of_training(six, "test")
    assert (found["examples"], found["copies"], found["kinds"]) == (3, 2, {"identical": 1, "normalised": 1})
    assert found["pairs"] == [
        {
            **{"kind": "identical", "likeness": 1.0, "id": "test/3", "label": "no"},
            **{"train_id": "train/0", "train_label": "no"},
        },
        {
            **{"kind": "normalised", "likeness": 1.0, "id": "test/4", "label": "no"},
            **{"train_id": "train/1", "train_label": "yes"},
        },
    ]


def test_copies_within_a_split_count_what_could_go(six):
    train = copies_within(six, "train")
    assert (train["superfluous"], train["kinds"]) == (1, {"normalised": 1})
    assert train["groups"] == [
        {"kind": "normalised", "members": 2, "ids": ["train/0", "train/2"], "labels": ["no", "no"]}
    ]
    assert copies_within(six, "test")["superfluous"] == 0


def test_a_group_is_of_the_strictest_kind_that_holds_for_all_of_it():
    found = copies_within(copied([1, 1, 2, 3, 3], [1, 1, 1, 3, 3], [0] * 5, ["train"] * 5), "train")
    assert (found["superfluous"], found["kinds"]) == (3, {"identical": 2, "normalised": 1})
    assert [(group["kind"], group["members"]) for group in found["groups"]] == [("normalised", 3), ("identical", 2)]


def test_conflicts_are_found_over_all_splits_and_once(six):
    found = conflicts(six)
    assert found["kinds"] == {"normalised": 1}
    (group,) = found["groups"]
    assert (group["ids"], group["labels"], group["splits"]) == (["train/1", "test/4"], ["yes", "no"], ["train", "test"])


def test_a_conflict_of_identical_examples_is_not_told_again_as_a_looser_one():
    found = conflicts(copied([1, 1, 2], [1, 1, 1], [0, 1, 0], ["train"] * 3))
    assert found["kinds"] == {"identical": 1}


def test_both_labels_of_a_large_group_are_shown():
    labels = [0] * 300 + [1]
    (group,) = conflicts(copied([7] * 301, [7] * 301, labels, ["train"] * 301))["groups"]
    assert group["members"] == 301
    assert len(group["ids"]) == len(group["labels"]) == 100
    assert set(group["labels"]) == {"no", "yes"}


def test_a_mirror_image_is_named_so():
    far = np.zeros(2, np.float32)
    near = Copies("near", np.zeros(2, int), np.array([-1, 0]), far + 0.9, np.array([False, True]))
    split = np.array(["train", "test"], dtype=object)
    found = copies_of_training(Copied([near], ["a", "b"], np.zeros(2, int), ("x",), split), "test")
    assert (found["pairs"][0]["kind"], found["pairs"][0]["likeness"]) == ("mirrored", 0.9)


def test_lists_are_cut_and_say_so(monkeypatch):
    monkeypatch.setattr(duplicates, "LISTED", 3)
    found = copies_of_training(copied([1] * 10, [1] * 10, [0] * 10, ["train"] * 5 + ["test"] * 5), "test")
    assert (found["copies"], len(found["pairs"]), found["left_out"]) == (5, 3, 2)
