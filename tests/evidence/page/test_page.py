"""The page: what it says, what it loads, and who can read it."""

import html
import re
from html.parser import HTMLParser

import pytest

from tlj.evidence.page.page import render_page
from tlj.evidence.page.write_figures import write_figures
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary

VOID = {"meta", "link", "br", "hr", "img", "input"}


def page_of(directory, figures: bool = True) -> str:
    comparison = read_comparison(directory)
    summary = build_summary(comparison)
    return render_page(comparison, summary, write_figures(summary, directory) if figures else {})


@pytest.fixture(scope="module")
def page(reported):
    return (reported / "report.html").read_text()


class Reader(HTMLParser):
    """Collects elements and the text of the page without its style sheet, and checks that tags are balanced."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def test_the_answer_is_the_first_sentence(page):
    heading = re.search(r"<body>.*?<h1>(.*?)</h1>", page, re.DOTALL)
    assert html.unescape(heading[1]).startswith("Transfer: fine-tuning everything (full) beats training from scratch")
    assert page.count("<h1>") == 1


def test_the_page_loads_nothing_from_anywhere(page):
    assert not re.search(r"https?://", page)
    for tag, attributes in Reader(page).elements:
        assert tag not in ("script", "iframe", "object", "embed", "img", "base")
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            # A link leads to a run beside the page, and loads nothing.
            to_a_run = ("runs/", "parity/", "tuning/") if tag == "a" else ()
            assert attributes.get(name, "#").startswith(("#", "data:,", *to_a_run))
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_verdict_stands_in_the_table_with_its_difference_interval_and_p(page, comparison_directory):
    grid = re.search(r'<table class="grid">.*?</table>', page, re.DOTALL)[0]
    summary = build_summary(read_comparison(comparison_directory))
    for verdict in ("helps", "hurts", "undecided", "equivalent", "helps-small"):
        expected = sum(row["verdict"] == verdict for row in summary["verdicts"])
        assert grid.count(f'<td class="{verdict}">') == expected
    assert grid.count("p 0.") + grid.count("p 1<") == 24
    assert "p cannot be smaller than 0.0625" in grid
    assert "the verdicts rest on the intervals" in grid


def test_the_page_says_how_to_reproduce_it(page):
    text = Reader(page).text
    assert "tlj compare --config=configs/digits.py --workdir=DIR" in text
    assert "0, 1, 2, 3, 4" in text
    assert "0.10.2" in text
    assert "last_blocks:1" in text
    for key, twin_value, value in (("strategy", "scratch", "linear_probe"), ("init", "scratch", "mean_var")):
        assert re.search(rf"{key} *{twin_value} *{value}", text)


def test_the_page_says_what_the_intervals_cover(page):
    text = Reader(page).text
    assert "nor the drawing of the 359 test examples" in text
    assert "359 examples" in text
    assert "Unfinished" not in text


def test_tables_have_captions_and_headers_with_a_scope(page):
    elements = Reader(page).elements
    tables = [tag for tag, _ in elements if tag == "table"]
    assert len(tables) == len([tag for tag, _ in elements if tag == "caption"]) >= 6
    for tag, attributes in elements:
        if tag == "th":
            assert attributes["scope"] in ("col", "row", "rowgroup")


def test_the_page_has_a_language_and_figures_have_words(page):
    elements = Reader(page).elements
    assert ("html", {"lang": "en"}) in elements
    figures = [attributes["aria-label"] for tag, attributes in elements if attributes.get("role") == "img"]
    assert len(figures) >= 6
    assert figures[::2] == figures[1::2]
    assert re.search(r"full: \d\d\.\d % at 10 labels, \d\d\.\d % at 538", figures[0])
    assert all("aria-hidden" in attributes for tag, attributes in elements if tag == "svg")


def test_sections_are_named_by_their_headings(page):
    elements = Reader(page).elements
    ids = {attributes["id"] for _, attributes in elements if "id" in attributes}
    named = [attributes["aria-labelledby"] for tag, attributes in elements if tag == "section"]
    assert len(named) == len(set(named)) >= 6
    assert set(named) <= ids


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in Reader(page).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_names_from_the_user_are_escaped(make_comparison, tmp_path):
    evil = "full<img src=x onerror=alert(1)>&$\\frac{"
    directory = make_comparison(
        tmp_path / "c",
        arms=("scratch", evil),
        budgets=(10, 25),
        seeds=(0, 1, 2),
        accuracies={"scratch": (0.5, 0.6), evil: (0.7, 0.8)},
    )
    text = (directory / "comparison.json").read_text()
    for name in ("digits:5-9", "tlj compare", "0.10.2"):
        text = text.replace(name, f"<script>{name}</script>")
    (directory / "comparison.json").write_text(text)
    page = page_of(directory)
    assert "<img" not in page
    assert "<script" not in page
    assert evil in Reader(page).text
    assert "<script>digits:5-9</script>" in Reader(page).text


def test_an_unfinished_page_says_what_is_missing(make_comparison, tmp_path):
    directory = make_comparison(
        tmp_path / "c", seeds=(0, 1, 2), unfinished=lambda arm, b, s: arm == "full" and b == 538, step_time=False
    )
    text = Reader(page_of(directory, figures=False)).text
    assert "Unfinished. 87 of 90 runs are done" in text
    assert "Missing: full 3." in text
    assert "not run" in text
    assert "Step times have not been measured yet." in text


def test_a_page_without_a_run_is_a_page(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", unfinished=lambda *key: True, step_time=False)
    reader = Reader(page_of(directory))
    assert "Undecided: no transferred arm and its twin have both finished a run yet (150 of 150 to go)." in reader.text
    assert not any(tag == "svg" for tag, _ in reader.elements)


def test_an_optional_field_that_is_absent_is_left_out(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", arms=("scratch", "full"), budgets=(10,), seeds=(0, 1))
    text = (directory / "comparison.json").read_text()
    for name in ("command", "model", "source_task"):
        text = text.replace(f'"{name}":', f'"no_{name}":')
    (directory / "comparison.json").write_text(text)
    text = Reader(page_of(directory, figures=False)).text
    assert "None" not in text
    assert "given parameters" in text
