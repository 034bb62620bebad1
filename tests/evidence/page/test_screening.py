"""The section on screening."""

import html
import re

import jinja2
import pytest

from tlj.evidence.page.drawing import NARROW, WIDE, style
from tlj.evidence.page.screening import draw_drift, screening_context
from tlj.evidence.page.templating import TEMPLATES
from tlj.evidence.words import formatting

INITS = [
    {"init": init, "width": 48, "problem": "", "neighbours": 0.5, "probe": probe, "logme": -0.25, "h_score": 1.5,
     "result": {"arm": arm, "budget": 25, "mean": 0.9}}
    for init, probe, arm in (("<b>", 0.75, "full"), ("scratch", None, "scratch"))
]  # fmt: skip
DRIFT = {
    "twin": "scratch",
    "budget": 538,
    "seed": 0,
    "arms": [
        {"arm": "scratch", "start": [1.0, 0.5], "start_features": 0.4, "twin": None, "twin_features": None,
         "chance": [0.1, 0.3], "chance_features": 0.2, "examples": 60},
        {"arm": "full", "start": [0.9, None], "start_features": 0.6, "twin": [0.8, 0.7], "twin_features": 0.65,
         "chance": [0.2, None], "chance_features": 0.1, "examples": 60},
    ],
}  # fmt: skip


ARMS = [{"arm": "scratch", "role": "twin"}, {"arm": "full", "role": "transfer"}]


@pytest.fixture
def summary():
    screening = {"data": "d", "pool": 538, "seed": 0, "examples": 60, "neighbour_count": 11, "majority": 0.25}
    screening |= {
        "inits": INITS,
        "missing": [],
        "drift": DRIFT,
        "source": {"data": "s", "examples": 60, "distance": 1.2, "error": 0.2},
    }
    screening |= {"agreement": {"neighbours": None, "probe": -1.0, "logme": 0.5, "h_score": 1.0}}
    return {"screening": screening, "arms": ARMS, "twin": "scratch", "metric": "accuracy", "budgets": [10, 25]}


def section(summary):
    """The section by itself, its white space made plain."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= formatting.FILTERS
    template = environment.get_template("sections/screening.html.j2")
    contexts = {"screening": screening_context(None, summary)}
    return re.sub(r"\s+", " ", template.render(s=summary, contexts=contexts, figures={})).strip()


def test_a_comparison_that_was_not_screened_has_no_section(summary):
    for nothing in (None, {"inits": [], "agreement": None, "source": None, "missing": [], "drift": None}):
        assert section({**summary, "screening": nothing}) == ""
        assert draw_drift({**summary, "screening": nothing}, WIDE) is None


def test_features_that_were_not_kept_are_told(summary):
    gone = {"inits": [], "agreement": None, "source": None, "missing": ["scratch", "source"], "drift": None}
    assert "The features of scratch, source are missing" in section({**summary, "screening": gone})
    assert "missing" not in section(summary)


def test_it_says_that_it_is_no_verdict_and_escapes_names(summary):
    text = section(summary)
    assert "A screening, never a verdict" in text
    assert "none of them predicts that transfer beats scratch" in text
    assert "which are more than the smallest label budget has" in text
    assert "<b>" not in text
    assert html.escape("<b>") in text


def test_drift_without_scores_and_scores_without_drift_are_shown(summary):
    screening = summary["screening"]
    drift = section({**summary, "screening": {**screening, "inits": [], "agreement": None, "source": None}})
    assert "How far training moved" in drift
    assert "Linear probe" not in drift
    scores = section({**summary, "screening": {**screening, "drift": None}})
    assert "How far training moved" not in scores
    assert "Linear probe" in scores


def test_numbers_of_the_table_are_those_of_the_summary(summary):
    context = screening_context(None, summary)
    first, second = context["rows"]
    assert (first["probe"], first["logme"], first["h_score"], first["result"]) == ("75.0", "−0.25", "1.50", "90.0 %")
    assert second["probe"] == "–"
    assert context["agreement"] == ["–", "−1.00", "0.50", "1.00"]
    assert context["drift"][1] == {"arm": "full", "against": "its own start", "values": ["0.90", "–", "0.60"]}
    assert context["chance"] == ["0.20", "0.30", "0.20"]
    assert "1.20" in section(summary)


def test_drift_has_a_line_for_every_arm_by_depth_and_the_twin_none_against_itself(summary):
    for width in (WIDE, NARROW):
        with style():
            start, twin = draw_drift(summary, width).axes
        lines = {line.get_label(): line.get_ydata() for line in start.lines}
        assert list(lines["scratch"]) == [1.0, 0.5, 0.4]
        assert lines["full"][0] == 0.9
        assert "scratch" not in [line.get_label() for line in twin.lines]
        assert list(start.lines[-1].get_ydata()) == [0.2, 0.3, 0.2]
        assert start.xaxis.get_major_formatter().seq == ["0", "1", "pooled"]


def test_many_depths_are_not_all_named(summary):
    deep = {**DRIFT["arms"][1], "start": [1.0] * 25, "twin": [0.5] * 25, "chance": [0.1] * 25}
    drift = {**DRIFT, "arms": [deep]}
    axis = draw_drift({**summary, "screening": {"drift": drift}}, WIDE).axes[0].xaxis
    names = axis.get_major_formatter().seq
    assert len(names) == 26
    assert [name for name in names if name][-1] == "pooled"
    assert len([name for name in names if name]) <= 8


def test_the_figure_has_a_text_alternative_with_its_ends(summary):
    alternative = screening_context(None, summary)["alt"]
    assert "full: 0.90 at the embedding, 0.60 before the head; against scratch 0.80 and 0.65" in alternative


def test_a_metric_that_is_no_share_is_no_percentage(summary):
    rows = screening_context(None, {**summary, "metric": "rmse"})["rows"]
    assert rows[0]["result"] == "0.9"
