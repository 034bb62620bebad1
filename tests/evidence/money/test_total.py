"""What a model costs over its years in service."""

import pytest

from tlj.evidence.money.prices import Prices, Quote
from tlj.evidence.money.spending import Rates, Spent
from tlj.evidence.money.total import needs_pretraining, totals


@pytest.fixture
def comparison(in_memory, five_seeds):
    return in_memory({"scratch": {100: five_seeds(0.5)}, "full": {100: five_seeds(0.6)}, "full@mean_var": {}})


@pytest.fixture
def rows(comparison, prices):
    spent = [Spent("scratch", 100, 5, 0, 10.0, 0.0), Spent("full", 100, 5, 2, 10.0, 4.0)]
    rates = Rates("cpu", prices.accelerator("cpu"))
    return {row["arm"]: row for row in totals(comparison, prices, rates, spent)}


def test_the_parts_of_a_total_are_priced_each_by_its_own(rows):
    full = rows["full"]
    assert full["labels"] == pytest.approx(100 * 0.05 * 3)
    assert full["training"] == pytest.approx(14.0)
    assert full["inference"] == pytest.approx(2 * 3.0 * 5)
    assert (full["storage"], full["people"]) == (None, None)
    assert full["parts"] == ["labels", "training", "inference"]
    assert full["years"] == 5.0


def test_pretraining_is_sunk_included_and_shared_by_its_uses(rows):
    assert rows["full"]["pretraining"] == {"sunk": 0.0, "included": 20.0, "amortised": 2.5}
    base = 15.0 + 14.0 + 30.0
    expected = {"sunk": base, "included": base + 20.0, "amortised": base + 2.5}
    assert rows["full"]["total"] == pytest.approx(expected)
    assert set(rows["scratch"]["pretraining"].values()) == {0.0}


def test_the_control_that_draws_from_pretrained_statistics_needs_the_pretraining(comparison):
    assert [needs_pretraining(arm) for arm in comparison.arms] == [False, True, True]


def test_an_unpriced_pretraining_is_none_and_not_zero(comparison):
    prices = Prices(quotes={"labels.dollars_per_label": Quote(1.0)})
    spent = [Spent("full", 100, 5, 0, 10.0, 0.0)]
    (row,) = totals(comparison, prices, Rates("cpu"), spent)
    assert row["pretraining"] == {"sunk": 0.0, "included": None, "amortised": None}
    assert row["total"] == {"sunk": 100.0, "included": None, "amortised": None}
    assert row["parts"] == ["labels"]


def test_nothing_priced_has_no_total(comparison):
    spent = [Spent("full", 100, 5, 0, 10.0, 0.0)]
    assert totals(comparison, None, Rates("cpu"), spent) == []
    assert totals(comparison, Prices(), Rates("cpu"), spent)[0]["total"]["sunk"] is None
