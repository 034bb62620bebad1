"""The page of several comparisons."""

import re

import numpy as np
import pytest

from tlj.evidence.judging.across import across
from tlj.evidence.page.across import across_answer, draw_across, render_across, write_across_figures
from tlj.evidence.page.drawing import NARROW, WIDE
from tlj.evidence.runs import read_comparison


@pytest.fixture(scope="module")
def result(comparison_directory):
    comparison = read_comparison(comparison_directory)
    return across([comparison, comparison], resamples=300)


def test_the_answer_names_the_arms_that_beat_their_twins_and_those_that_lose(result):
    answer = across_answer(result)
    assert answer.startswith("Across 2 data sets, full (")
    assert re.search(r"full@mean_var \(\d+ %\) beat their twins; linear_probe \(\d+ %\) loses to its twin \(in", answer)


def test_where_no_interval_leaves_one_half_nothing_is_decided(result):
    rows = [row | {"improvement_interval": [0.4, 0.6]} for row in result["scores"]]
    assert across_answer(result | {"scores": rows}).startswith("Undecided: across 2 data sets")


def test_the_page_shows_every_number_and_loads_nothing(result, tmp_path):
    page = render_across(result, write_across_figures(result, tmp_path))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"across.png", "across.pdf"}
    assert not re.search(r"https?://", page)
    for row in result["scores"]:
        assert f"<span>{100 * row['iqm']:.1f}</span>" in page
    assert page.count('<th scope="row">') == 5 + 2
    assert page.count("<svg") == 2
    assert 'aria-label="Interquartile means' in page


def test_names_of_data_sets_are_escaped(result):
    tasks = [task | {"task": "<b>bold</b>"} for task in result["tasks"]]
    page = render_across(result | {"tasks": tasks, "left_out": ["<i>"]}, {})
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "&lt;i&gt;" in page


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_figure_draws_means_and_profiles_of_every_arm(result, width):
    means, profiles = draw_across(result, width).axes
    assert [label.get_text() for label in means.get_yticklabels()] == [arm["arm"] for arm in result["arms"]]
    assert len(profiles.lines) == 5
    for line, row in zip(profiles.lines, result["profile"]["arms"], strict=True):
        assert np.allclose(line.get_ydata(), 100 * np.array(row["share"]))
