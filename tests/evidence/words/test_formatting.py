"""How the page writes numbers."""

import pytest

from tlj.evidence.words import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (4e-6, "4.00 µs"),
        (0.0042, "4.20 ms"),
        (0.8, "800 ms"),
        (3.14159, "3.14 s"),
        (240.0, "240 s"),
        (1200.0, "20.0 min"),
        (90_000.0, "25.0 h"),
    ],
)
def test_a_duration_has_a_unit_that_suits_it(value, text):
    assert formatting.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.00"), (12.0, "12.0"), (6e9, "6.00 G"), (1.2e12, "1.20 T"), (3e21, "3,000 E")],
)
def test_a_count_of_operations_has_a_decimal_prefix(value, text):
    assert formatting.si(value) == text


def test_shares_are_percent_with_one_digit():
    assert formatting.percent(0.9345) == "93.5"
    assert formatting.percents([0.9, 0.951]) == "[90.0, 95.1]"
    assert formatting.percents(None) == ""


def test_a_margin_has_no_trailing_zeros():
    assert formatting.points_plain(0.005) == "0.5 points"
    assert formatting.points_plain(0.01) == "1 point"


def test_p_says_where_it_is_as_small_as_the_seeds_allow():
    assert formatting.p_words({"p": 0.0625, "p_floor": 0.0625}) == "p 0.0625 (floor)"
    assert formatting.p_words({"p": 0.125, "p_floor": 0.0625}) == "p 0.125"


def test_censored_values_are_marked():
    row = {"censored": "above", "multiplier_interval": [0.9, 5.38], "interval_censored": [None, "above"]}
    assert formatting.bound(row) == "≥ "
    assert formatting.multiplier_interval(row) == "[0.90, ≥ 5.4]"
    assert formatting.bound({"censored": "below"}) == "≤ "
    assert formatting.bound({"censored": None}) == ""
    assert formatting.multiplier_interval({"multiplier_interval": None}) == ""


def test_an_interval_of_labels_has_its_censored_ends_marked():
    assert formatting.labels_interval({"interval": [12.4, 538], "interval_censored": [None, "above"]}) == "[12, ≥ 538]"
    assert formatting.labels_interval({"interval": None}) == ""


def test_a_p_that_is_not_there_is_a_dash_and_a_tiny_one_is_not_spelt_out():
    assert [formatting.p_or_none(p) for p in (None, 0.0, 5e-5, 0.0123)] == ["–", "<0.0001", "<0.0001", "0.012"]


def test_a_verdict_is_lost_where_the_correction_changes_it():
    assert formatting.lost_to_holm({"verdict": "helps", "verdict_holm": "undecided"})
    assert not formatting.lost_to_holm({"verdict": "helps", "verdict_holm": None})
    assert not formatting.lost_to_holm({"verdict": "helps"})


def test_missing_seeds_are_counted_up_to_a_hundred():
    said = [formatting.more_seeds({"more_seeds": more}) for more in (1, 7, 101)]
    assert said == ["about 1 more seed", "about 7 more seeds", "over 100 more seeds"]


def test_what_does_not_exist_is_a_dash():
    assert formatting.whole(None) == formatting.ratio(None) == "–"
    assert formatting.whole(1234567) == "1,234,567"
    assert formatting.ratio(0.3449) == "0.34×"
