"""The value of the labels saved, and the label price from which transfer pays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.evidence.money.label_value import break_even, label_values


def effective(labels, interval=None, censored=None, ends=(None, None)):
    return {
        "arm": "full",
        "budget": 100,
        "measure": "error",
        "effective_labels": labels,
        "interval": interval,
        "censored": censored,
        "interval_censored": list(ends),
    }


def total(arm, training, pretraining=0.0, runs=5, trials=0.0):
    charged = {"sunk": 0.0, "included": pretraining, "amortised": pretraining / 4}
    of_a_run = None if training is None else (training - trials) / runs
    return {
        "arm": arm, "budget": 100, "runs": runs, "training": training, "training_of_a_run": of_a_run,
        "pretraining": charged,
    }  # fmt: skip


@pytest.fixture
def value(in_memory, five_seeds, prices):
    """The row of an arm that is worth so many labels and costs so much to train, against a twin that costs 10."""
    comparison = in_memory({"scratch": {100: five_seeds(0.5)}, "full": {100: five_seeds(0.6)}})

    def value(row, training=16.0, pretraining=40.0):
        cells = [total("scratch", 10.0), total("full", training, pretraining)]
        return label_values(comparison, prices, cells, [row])[0]

    return value


def test_the_value_of_transfer_is_labels_saved_less_what_training_costs_more(value):
    # V = D_T c r + (C_X - C_T) = 300 x 0.05 x 3 + (10 - 16) = 39.
    row = value(effective(400.0, [200.0, 500.0]))
    assert row["labels_saved"] == 300
    assert row["value"]["sunk"] == {"value": pytest.approx(39.0), "interval": [pytest.approx(9.0), pytest.approx(54.0)]}
    assert row["value"]["included"]["value"] == pytest.approx(-1.0)
    assert row["value"]["amortised"]["value"] == pytest.approx(29.0)


def test_more_seeds_of_one_side_make_it_no_dearer(in_memory, five_seeds, prices):
    comparison = in_memory({"scratch": {100: five_seeds(0.5)}, "full": {100: five_seeds(0.6)}})
    # 4 for trials and 2 a run for the twin, 3 a run for the arm: with five seeds each 14 against 15.
    cells = [total("scratch", 24.0, runs=10, trials=4.0), total("full", 15.0, runs=5)]
    (row,) = label_values(comparison, prices, cells, [effective(400.0)])
    assert row["extra_training"]["sunk"] == pytest.approx(1.0)
    assert row["value"]["sunk"]["value"] == pytest.approx(44.0)


def test_at_the_break_even_label_price_the_value_is_zero(value):
    row = value(effective(400.0, [200.0, 500.0]))
    even = row["break_even"]["sunk"]
    assert even["pays"] == "above"
    assert 300 * even["price"] * 3 + (10 - 16) == pytest.approx(0.0)
    assert even["interval"] == [pytest.approx(6 / 1200), pytest.approx(6 / 300)]


def test_a_censored_estimate_gives_bounds_that_are_said_as_such(value):
    row = value(effective(400.0, [300.0, 400.0], "above", (None, "above")))
    assert (row["bound"], row["interval_bounds"]) == ("at least", [None, "at least"])
    assert row["break_even"]["sunk"]["bound"] == "at most"


def test_arms_that_are_not_priced_have_no_value(value):
    row = value(effective(400.0), training=None)
    assert row["label_dollars"] == pytest.approx(45.0)
    assert row["value"]["sunk"] is row["break_even"]["sunk"] is None


@pytest.mark.parametrize(
    ("saved", "extra", "pays"),
    [
        (100, -5, "always"),
        (100, 0, "always"),
        (100, 5, "above"),
        (0, 5, "never"),
        (0, -5, "always"),
        (-100, 5, "never"),
        (-100, 0, "never"),
        (-100, -5, "below"),
    ],
)
def test_where_an_arm_pays(saved, extra, pays):
    assert break_even(saved, None, extra, 1.0)["pays"] == pays


@pytest.mark.parametrize(
    ("saved", "extra", "censored", "pays", "bound"),
    [
        (0, 5, "above", "unknown", None),
        (0, -5, "below", "unknown", None),
        (0, -5, "above", "always", None),
        (0, 0, "above", "always", None),
        (0, 0, "below", "never", None),
        (50, 5, "above", "above", "at most"),
        (-50, -5, "below", "below", "at most"),
    ],
)
def test_at_the_ends_of_the_curve_the_price_is_a_bound_or_unknown(saved, extra, censored, pays, bound):
    even = break_even(saved, None, extra, 1.0, censored)
    assert (even["pays"], even["bound"]) == (pays, bound)


def test_where_no_labels_may_be_saved_the_price_has_no_upper_end():
    assert break_even(10.0, [-5.0, 20.0], 4.0, 1.0)["interval"] == [pytest.approx(0.2), None]


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(-1e3, 1e3), st.floats(1e-3, 10.0))
def test_the_words_agree_with_the_sign_of_the_value(saved, extra, price):
    even = break_even(saved, None, extra, 2.0)
    value = saved * price * 2.0 - extra
    if even["price"] is None:
        assert value >= 0 if even["pays"] == "always" else value <= 0
    elif abs(price - even["price"]) > 1e-9 * price:
        assert (value > 0) == ((price > even["price"]) == (even["pays"] == "above"))
