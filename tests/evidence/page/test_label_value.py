"""What the page says of all label budgets together, and the marks of the table of verdicts."""

import re
from dataclasses import replace

import pytest

from tlj.evidence.page.drawing import NARROW, WIDE
from tlj.evidence.page.label_value import crossover_words, draw_crossover, label_value, verdict_marks
from tlj.evidence.page.page import render_page
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary

BUDGETS = [10, 100, 538]
CROSSES = {
    "arm": "full",
    "labels": 34.2,
    "direction": "helps below, hurts above",
    "interval": [27.5, 38.2],
    "interval_open": [False, False],
    "sign": None,
}
NONE = CROSSES | {"labels": None, "direction": None, "sign": "positive"}


@pytest.fixture(scope="module")
def comparison(comparison_directory):
    return read_comparison(comparison_directory)


@pytest.fixture(scope="module")
def summary(comparison):
    return build_summary(comparison)


@pytest.fixture(scope="module")
def page(comparison, summary):
    return re.sub(r"\s+", " ", render_page(comparison, summary, {}))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (CROSSES, "at about 34 labels [28, 38], helps below, hurts above"),
        (CROSSES | {"interval_open": [True, True]}, "at about 34 labels [≤ 28, ≥ 38], helps below, hurts above"),
        (CROSSES | {"interval": None}, "at about 34 labels, helps below, hurts above"),
        (NONE | {"interval": None}, "none from 10 to 538 labels, better on average"),
        (
            NONE | {"sign": "negative", "interval_open": [False, True]},
            "worse on average; one is not excluded from 28 up",
        ),
        (NONE | {"interval_open": [True, False]}, "one is not excluded up to 38"),
        (NONE | {"interval_open": [True, True], "sign": None}, "equal on average; one is excluded nowhere"),
        (NONE, "one is not excluded from 28 to 38"),
    ],
)
def test_a_crossover_is_said_with_what_is_not_excluded(row, words):
    assert crossover_words(row, BUDGETS).endswith(words)


def test_every_arm_has_its_area_and_its_crossover(comparison, summary):
    context = label_value(comparison, summary)
    assert [row["arm"] for row in context["areas"]] == [arm["arm"] for arm in summary["arms"]]
    assert context["areas"][0]["crossover"] == "–"
    assert context["areas"][1]["crossover"].startswith("at about 34 labels")
    assert [len(row["columns"]) for row in context["targets"]] == [6] * 4
    assert context["target_measure"] == "test error"


def test_a_law_without_enough_points_is_an_en_dash_with_the_reason(comparison, summary):
    laws = label_value(comparison, summary)["laws"]
    row = next(law for law in laws if (law["arm"], law["measure"]) == ("linear_probe", "test loss"))
    assert (row["alpha"], row["alpha_interval"], row["points"]) == ("–", "", "2")
    assert row["dropped"] == "4 without labels saved"


def test_an_older_summary_without_these_keys_renders_nothing(comparison, summary):
    old = {key: value for key, value in summary.items() if key not in ("aulc", "crossover", "labels_to_target", "law")}
    context = label_value(comparison, old)
    assert (context["areas"], context["targets"], context["laws"]) == ([], [], [])
    assert draw_crossover(old, WIDE) is None
    assert "Over all label budgets" not in render_page(comparison, old, {})


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_figure_has_a_bar_per_interval_and_a_marker_per_crossing(summary, width):
    axes = draw_crossover(summary, width).axes[0]
    tracks, rows = 4, summary["crossover"]
    bars = sum(row["interval"] is not None for row in rows)
    markers = sum(row["labels"] is not None for row in rows)
    assert len(axes.lines) == tracks + bars + markers
    said = [text.get_text() for text in axes.texts]
    assert sum(text.startswith("none, ") for text in said) == tracks - markers
    names = said if width == NARROW else [label.get_text() for label in axes.get_yticklabels()]
    assert "linear_probe" in names


def test_a_verdict_that_holm_does_not_leave_is_marked_and_explained(comparison, summary, page):
    lost = [row for row in summary["verdicts"] if row["verdict_holm"] != row["verdict"]]
    assert lost
    assert page.count(f"{lost[0]['verdict']}†</span>") >= 1
    assert "† Holm's correction for all arms at the same label budget" in page
    kept = summary | {"verdicts": [row | {"verdict_holm": row["verdict"]} for row in summary["verdicts"]]}
    assert not verdict_marks(comparison, kept)["any_lost"]
    assert "Holm's correction for all arms at the same" not in render_page(comparison, kept, {})


def test_an_undecided_verdict_says_how_many_more_seeds(summary, page):
    more = [row["more_seeds"] for row in summary["verdicts"] if row["more_seeds"]]
    assert more
    for number in more:
        assert f"about {number} more seed" in page or "over 100 more seeds" in page


def test_the_tables_stand_in_the_page(page):
    for words in (
        "Over all label budgets",
        "Labels that each arm needs for what scratch reaches",
        "The law of effective",
    ):
        assert words in page
    assert "the test error of scratch at the budget above" in page


def test_a_rule_of_two_looks_names_its_confidence(comparison):
    rule = {"first": 5, "most": 10, "confidence": 0.972}
    ruled = replace(comparison, declared={**comparison.declared, "seeds_rule": rule})
    found = build_summary(ruled)
    assert found["confidence"] == 0.972
    text = render_page(ruled, found, {})
    assert "97.2 % t interval" in text
    assert "those of differences are 97.2 % intervals" in " ".join(found["notes"])
