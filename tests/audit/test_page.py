"""The page: what it says, that it loads nothing, and that names stay names."""

import html
import re
from html.parser import HTMLParser

import pytest

from tests.audit.planted import COPIES, coded, images, scene, texts
from tlj.audit.audit import audit_source
from tlj.audit.page import number, percent, render_page
from tlj.audit.pictures import Pictures

VOID = {"meta", "link", "br", "img"}


def page_of(made, examples=None, **how) -> str:
    report = audit_source(made, made.parts, **how)
    return render_page(report, Pictures(made), examples or {})


class Elements(HTMLParser):
    """All elements of a page, whose tags must be balanced."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def leaky():
    scenes = [coded(scene(i), "PNG" if i % 2 else "JPEG") for i in range(30)]
    return images(
        [*scenes, b"broken"], [COPIES["re-encoded"](scene(3)), scenes[4], coded(scene(90))], test_labels=[0] * 3
    )


@pytest.fixture(scope="module")
def page(leaky):
    return page_of(leaky, {"ant": ["train/0"], "bee": ["train/1"]}, image_size=224)


def test_the_verdict_is_the_heading(page):
    heading = html.unescape(re.search(r"<h1>(.*?)</h1>", page)[1])
    assert heading.startswith("2 of 3 test images (67 %) are copies or near duplicates of training images")
    assert page.count("<h1>") == 1


def test_the_page_loads_nothing_from_anywhere(page):
    assert not re.search(r"https?://", page)
    assert "@import" not in page
    for tag, attributes in Elements(page).found:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "default-src 'none'" in page


def test_pairs_stand_side_by_side_with_ids_and_labels(page):
    pairs = re.findall(r'<div class="pair.*?</div></div>', page, re.DOTALL)
    assert len(pairs) == 2
    assert [pair.count("<img") for pair in pairs] == [2, 2]
    assert "test/1" in pairs[0]
    assert "train/4" in pairs[0]
    assert "labels differ" not in pairs[0]
    assert "labels differ" in pairs[1]


def test_everything_found_has_a_section(page):
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert headings[:4] == [
        "Test images that training has too",
        "Copies that carry different labels",
        "What tells a class without the content",
        "What cannot be read",
    ]
    assert "Examples of each class" in headings


def test_sections_and_tables_can_be_read_aloud(page):
    elements = Elements(page).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for tag, a in elements if tag == "section"} <= set(ids)
    count = {tag: sum(t == tag for t, _ in elements) for tag in ("table", "caption")}
    assert count["table"] == count["caption"] == 3
    assert all(a["scope"] in ("row", "col") for tag, a in elements if tag == "th")


def test_names_and_texts_of_the_data_are_escaped():
    evil = "<script>alert(1)</script>"
    made = texts([evil, *(f"text {i}" for i in range(20))], [evil, "x"], classes=(f"a{evil}", "b"))
    object.__setattr__(made, "name", f"csv:{evil}")
    made.ids[0] = f"row {evil}"
    page = page_of(made, {f"a{evil}": [made.ids[0]]})
    assert "<script" not in page
    assert page.count(html.escape(evil)) >= 5


def test_a_clean_page_has_no_section_of_faults():
    page = page_of(texts([f"one {i} two" for i in range(40)], [f"other {i} two" for i in range(20)]))
    assert "Test texts that training has too" not in page
    assert "different labels" not in page
    Elements(page)


def test_of_very_many_classes_the_largest_and_the_smallest_are_shown():
    classes = tuple(f"class-{i}" for i in range(60))
    labels = [i for i in range(60) for _ in range(60 - i)]
    made = texts([f"text {i}" for i in range(len(labels))], ["x"], train_labels=labels, classes=classes)
    table = re.search(r'<table class="counts">.*?</table>', page_of(made), re.DOTALL)[0]
    shown = re.findall(r'<th scope="row">(.*?)</th>', table)
    assert shown == [*classes[:20], *classes[-20:]]
    assert "20 classes of middling size" in table


def test_numbers_are_written_short():
    assert [percent(x) for x in (None, 0, 0.0023, 0.5, 1)] == ["–", "0 %", "0.23 %", "50 %", "100 %"]
    assert [number(x) for x in (None, 1234567, 1.333, 1234.5)] == ["–", "1,234,567", "1.33", "1,234"]
