"""The section on cost: what it says with prices and without."""

import re
from html.parser import HTMLParser

import pytest

from tlj.evidence.money.prices import find_prices
from tlj.evidence.page.cost import cost_context
from tlj.evidence.page.page import render_page
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary

PRICES = """
about = "made up"
[[accelerators]]
name = "the <b>processor</b>"
kinds = ["{kind}"]
dollars_per_chip_hour = 3600.0
watts = {{value = 65, assumed = true, source = "its <i>label</i>"}}
source = "a bill"
date = 2026-01-31
[energy]
pue = 1.2
[labels]
dollars_per_label = 0.05
{more}
"""


@pytest.fixture(scope="module")
def section(make_comparison, tmp_path_factory):
    """Renders the section of a small comparison with a file of prices, or without one."""
    directory = make_comparison(
        tmp_path_factory.mktemp("cost"), arms=("scratch", "full"), budgets=(10, 100), seeds=(0, 1, 2)
    )
    comparison = read_comparison(directory)

    def section(kind=None, more=""):
        file = directory / "prices.toml"
        file.unlink(missing_ok=True)
        if kind:
            file.write_text(PRICES.format(kind=kind, more=more))
        summary = build_summary(comparison, find_prices(directory))
        page = render_page(comparison, summary, {})
        html = re.search(r'<section aria-labelledby="cost">.*?</section>', page, re.DOTALL)[0]
        return html, Text(html).text, cost_context(comparison, summary)

    return section


class Text(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.words = []
        self.feed(html)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


def test_without_prices_it_says_how_to_give_them(section):
    _, text, context = section()
    assert "tlj report DIR --prices=FILE" in text
    assert "Step time is the median" in text
    assert context["money"] == context["totals"] == context["values"] == context["assumptions"] == []
    assert "$" not in text


def test_with_prices_money_energy_and_labels_have_their_tables(section):
    html, text, context = section("cpu")
    # 6 runs of 0.8 s at a dollar a second, and 65 W for 4.8 s at a PUE of 1.2.
    assert [row["dollars"] for row in context["money"]] == ["$4.80", "$4.80", "$9.60"]
    assert context["money"][0]["energy"] == "0.104 Wh"
    assert context["totals"][0]["parts"] == ["$0.50", "$2.40"]
    assert "Not priced and left out: inference, storage and people." in text
    assert "The pretraining has no price here and counts as sunk." in text
    assert [row["break_even"] for row in context["values"]] == ["pays at any price", "pays at any price"]
    assert html.count("<table") == html.count("<caption") == 6
    assert "tlj report DIR" not in text


def test_every_assumption_stands_with_source_and_date_and_is_escaped(section):
    html, text, _ = section("cpu")
    assert "Assumed. its <i>label</i>" in text
    assert "a bill" in text
    assert "2026-01-31" in text
    assert "<i>" not in html
    assert "<b>" not in html


def test_pretraining_is_shown_by_all_three_accountings_where_it_has_a_price(section):
    _, text, context = section("cpu", "[pretraining]\ndollars = 100\nreuses = 4")
    assert context["total_heads"] == ["sunk", "included", "shared by its uses"]
    assert context["totals"][2]["arm"] == "full"
    assert context["totals"][2]["totals"] == ["$2.90", "$102.90", "$27.90"]
    assert "Total, pretraining shared by its uses" in text


def test_a_device_that_has_no_price_is_named(section):
    _, text, context = section("TPU v9")
    assert "prices.toml has no price for the device of these runs, cpu; it has the <b>processor</b>." in text
    assert context["money"] == []


def test_the_figure_has_its_numbers_and_words_beside_it(section):
    _, text, context = section("cpu")
    assert "The numbers behind the figure" in text
    assert len(context["pareto"]) == 4
    assert context["alt"].startswith("Charts of test accuracy over cost. At 100 labels nothing is better at less")


def test_tuning_has_a_column_only_where_it_was_declared(section):
    _, text, context = section()
    assert not context["tuned"]
    assert "tuning trials" not in text
