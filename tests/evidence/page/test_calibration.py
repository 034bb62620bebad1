"""The section on calibration."""

import json
import re

import pytest

from tlj.evidence.page import calibration
from tlj.evidence.page.drawing import NARROW, WIDE, style
from tlj.evidence.page.page import render_page
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary


@pytest.fixture(scope="module")
def comparison(make_comparison, tmp_path_factory):
    directory = make_comparison(
        tmp_path_factory.mktemp("c") / "c", arms=("scratch", "full"), budgets=(10, 25), seeds=(0, 1)
    )
    run = directory / "runs/scratch/10/0/summary.json"
    summary = json.loads(run.read_text()) | {"classes": ["<b>five", "6", "7", "8", "9"]}
    run.write_text(json.dumps(summary))
    return read_comparison(directory)


@pytest.fixture(scope="module")
def summary(comparison):
    return build_summary(comparison)


def section(page):
    found = re.search(r'<section aria-labelledby="calibration">.*?</section>', page, re.DOTALL)
    return found and found.group()


def test_calibration_stands_before_and_after_scaling_with_its_intervals(comparison, summary):
    shown = calibration.context(comparison, summary)
    row = next(row for row in summary["calibration"] if (row["arm"], row["budget"]) == ("full", 25))
    cell = shown["groups"][0]["rows"][1]["cells"][1]
    assert cell["means"] == f"{100 * row['ece']['before']['mean']:.1f} → {100 * row['ece']['after']['mean']:.1f}"
    assert len(cell["intervals"]) == 2
    assert "full " + cell["means"] in shown["alt"]


def test_class_names_are_escaped_and_counts_have_headers_on_both_sides(comparison, summary):
    text = section(render_page(comparison, summary, {}))
    assert "<b>five" not in text
    assert text.count('<th scope="col">&lt;b&gt;five</th>') == text.count('<th scope="row">&lt;b&gt;five</th>') == 2
    counts = summary["confusion"][0]["counts"]
    assert f"<span>{counts[0][0]}</span><span>{100 * counts[0][0] / sum(counts[0]):.1f}&nbsp;%</span>" in text


def test_a_cell_without_validation_shows_a_dash_after_scaling(comparison, summary):
    rows = [
        row | {"temperature": None} | {k: row[k] | {"after": None} for k in ("ece", "ece_equal_mass", "nll", "brier")}
        for row in summary["calibration"]
    ]
    shown = calibration.context(comparison, summary | {"calibration": rows})
    assert shown["groups"][0]["rows"][0]["cells"][0]["means"].endswith(" → –")
    assert shown["temperatures"] == []


def test_of_many_classes_the_pairs_are_listed(comparison, summary):
    pairs = [{"label": "<i>cat", "predicted": "dog", "count": 1234}]
    row = {"arm": "full", "budget": 25, "seeds": 1, "classes": None, "pairs": pairs}
    text = section(render_page(comparison, summary | {"confusion": [row]}, {}))
    assert "&lt;i&gt;cat</th>" in text
    assert "1,234" in text


def test_nothing_is_shown_where_there_are_no_probabilities(comparison, summary):
    empty = summary | {"calibration": [], "reliability": [], "confusion": []}
    assert section(render_page(comparison, empty, {})) is None
    assert calibration.reliability(empty, WIDE) is None


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_figure_has_a_panel_for_each_arm_and_no_more_than_six(summary, width):
    with style():
        assert [axes.get_title(loc="left") for axes in calibration.reliability(summary, width).axes] == [
            "scratch",
            "full",
        ]
    row, arm = summary["reliability"][1], summary["arms"][1]
    names = [f"arm {place}" for place in range(9)]
    many = summary | {
        "reliability": [row | {"arm": name} for name in names] + summary["reliability"][:1],
        "arms": [*summary["arms"], *(arm | {"arm": name} for name in names)],
    }
    with style():
        titles = [axes.get_title(loc="left") for axes in calibration.reliability(many, width).axes]
    assert titles.count("scratch") == 1
    assert len(titles) == 6
    assert calibration.context(None, many)["left_out"] == 4
