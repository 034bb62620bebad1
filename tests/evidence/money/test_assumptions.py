"""The list of what money and energy rest on."""

from tlj.evidence.money.assumptions import assumptions
from tlj.evidence.money.prices import Prices, Quote
from tlj.evidence.money.spending import Rates


def test_every_number_of_the_device_and_the_file_is_listed_with_source_and_date(prices):
    rows = {row["key"]: row for row in assumptions(prices, Rates("cpu", prices.accelerator("cpu")))}
    assert rows["a processor: watts"]["value"] == 200.0
    assert (rows["energy.pue"]["source"], rows["energy.pue"]["date"]) == ("an offer", "2026")
    assert not rows["energy.pue"]["assumed"]
    assert len(rows) == 4 + len(prices.quotes) + 1


def test_what_the_file_leaves_to_a_default_is_listed_as_assumed(prices):
    rows = {row["key"]: row for row in assumptions(prices, Rates("cpu"))}
    assert (rows["lifetime.years"]["value"], rows["lifetime.years"]["assumed"]) == (5.0, True)
    alone = Prices(quotes={"labels.dollars_per_label": Quote(0.1)})
    assert [row["key"] for row in assumptions(alone, Rates("cpu"))] == [
        "labels.dollars_per_label",
        "labels.workers_per_label",
    ]


def test_without_prices_nothing_is_assumed():
    assert assumptions(None, Rates("cpu")) == []
