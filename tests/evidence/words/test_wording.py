"""How numbers, arms and label budgets are said."""

import pytest

from tlj.evidence.runs import Arm
from tlj.evidence.words import wording

BUDGETS = (10, 25, 50, 100, 538)


@pytest.mark.parametrize(
    ("difference", "text"), [(0.123, "+12.3"), (-0.0042, "−0.4"), (0.0, "0.0"), (-0.0001, "0.0"), (0.0001, "0.0")]
)
def test_points_have_a_sign_unless_they_round_to_zero(difference, text):
    assert wording.points(difference) == text


@pytest.mark.parametrize(
    ("stretch", "text"),
    [
        ((10,), "at 10 labels"),
        ((538,), "at 538 labels"),
        ((10, 25, 50), "at up to 50 labels"),
        ((100, 538), "at 100 labels and above"),
        ((25, 50), "at 25 to 50 labels"),
        (BUDGETS, "at every budget (10 to 538 labels)"),
    ],
)
def test_a_stretch_of_budgets_is_said_by_where_it_lies(stretch, text):
    assert wording.where(stretch, BUDGETS) == text


def test_behind_a_cannot_it_is_any_budget():
    assert wording.where(BUDGETS, BUDGETS, "any") == "at any budget (10 to 538 labels)"
    assert wording.where(BUDGETS[:2], BUDGETS, "any") == wording.where(BUDGETS[:2], BUDGETS)


@pytest.mark.parametrize(
    ("labels", "text"), [(3.42, "3.4"), (12.3, "12"), (87.4, "87"), (251.2, "251"), (1234.0, "1,230"), (9.96, "10")]
)
def test_labels_are_counted_to_three_digits(labels, text):
    assert wording.count(labels) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0749, "0.075×"), (0.714, "0.71×"), (1.0, "1.0×"), (8.04, "8.0×"), (23.4, "23×"), (1234, "1,230×")],
)
def test_a_multiplier_keeps_two_digits(value, text):
    assert wording.factor(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("full", "fine-tuning everything (full)"),
        ("full@mean_var", "fine-tuning everything (full@mean_var)"),
        ("linear_probe", "training the head alone (linear_probe)"),
        ("last_blocks:1", "training the last block and the head (last_blocks:1)"),
        ("last_blocks:4", "training the last 4 blocks and the head (last_blocks:4)"),
        ("blocks:2-5", "training blocks 2-5 and the head (blocks:2-5)"),
        ("copy_freeze:3", "copying and freezing the first 3 blocks (copy_freeze:3)"),
        ("lora:8", "training adapters of rank 8 and the head (lora:8)"),
        ("gradual:20+discriminative:0.5", "thawing from the head down (gradual:20+discriminative:0.5)"),
        ("rules", "training what its rules name (rules)"),
        ("surgical:first", "surgical:first"),
    ],
)
def test_an_arm_is_described_by_what_it_trains(name, text):
    assert wording.described(Arm(name, name.partition("@")[0], "pretrained", "transfer", {})) == text


def test_random_features_are_called_so():
    arm = Arm("linear_probe@scratch", "linear_probe", "scratch", "control", {}, "random features")
    assert wording.described(arm) == "training the head alone on random features (linear_probe@scratch)"


def test_lists_read_as_english():
    assert [wording.listed(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_sentence_starts_with_a_capital_and_keeps_the_rest():
    assert wording.sentence("training the ViT.") == "Training the ViT."
    assert wording.of_labels(1) == "1 label"
    assert wording.of_labels(1200) == "1,200 labels"
