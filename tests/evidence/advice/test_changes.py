"""What would change the answer."""

import pytest


def two(five_seeds, scratch, full):
    return {"scratch": {10: five_seeds(scratch), 100: five_seeds(scratch + 0.2)}, "full": {10: five_seeds(full)}}


@pytest.fixture
def saving(five_seeds):
    """With 10 labels full is as good as scratch with 100."""
    return two(five_seeds, 0.5, 0.7)


def test_a_gain_names_the_margin_that_would_make_it_small(ask, saving):
    assert ask(saving)["changes"] == ["a margin above 20 points, under which this gain would count as small"]


def test_transfer_that_is_dearer_to_train_pays_from_a_label_price(ask, saving, priced):
    # Five runs of 0.8 s and of 0.4 s at a cent a second: two cents for 90 labels.
    advice = ask(saving, priced, {"scratch": 2.0, "full": 4.0})
    assert any("a label price below the break-even of $0.00022 per label" in change for change in advice["changes"])
    assert "pays at any label price" not in advice["text"]


def test_transfer_that_is_no_dearer_pays_at_any_label_price(ask, saving, priced):
    advice = ask(saving, priced, {"scratch": 4.0, "full": 4.0})
    assert not any("label price" in change for change in advice["changes"])
    assert (
        "It pays at any label price: it costs no more to train than scratch, and saves about 90 labels"
        in advice["text"]
    )


def test_an_open_verdict_is_named_with_the_seeds_that_would_decide_it(ask):
    advice = ask({"scratch": {10: [0.5, 0.6, 0.7]}, "full": {10: [0.9, 0.6, 0.8]}})
    (change,) = advice["changes"]
    assert change.startswith("the verdict on full at 10 labels, which ")


def test_a_budget_that_is_too_small_names_one_that_would_do(ask, saving, priced):
    advice = ask(saving, priced, {"scratch": 4.0, "full": 4.0}, label_cost=1.0, budget=10.0)
    # Ten labels and five runs of 0.8 s at a cent a second, rounded up so that it is enough.
    assert advice["changes"] == ["a budget of $10.04, for full with 10 labels"]
    assert ask(saving, priced, {"scratch": 4.0, "full": 4.0}, label_cost=1.0, budget=10.04)["arm"] == "full"


def test_equivalence_names_the_margin_within_which_it_holds(ask, five_seeds):
    advice = ask({"scratch": {10: five_seeds(0.9)}, "full": {10: five_seeds(0.902)}})
    assert advice["changes"] == ["a margin of 0.2 points or less, within which full would not be equivalent"]


def test_no_margin_undoes_a_difference_of_nothing(ask, five_seeds):
    cells = {"scratch": {10: five_seeds(0.8)}, "full": {10: five_seeds(0.8)}}
    assert ask(cells)["changes"] == []
