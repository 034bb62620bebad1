"""The three figures of a comparison."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tlj.evidence.page.drawing import NARROW, WIDE, style
from tlj.evidence.page.figures import effective_data, label_efficiency, paired_difference
from tlj.evidence.page.write_figures import write_figures
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary


@pytest.fixture(scope="module")
def summary(comparison_directory):
    return build_summary(read_comparison(comparison_directory))


def test_every_arm_has_a_line_at_the_heights_of_its_means(summary):
    axes = label_efficiency(summary, WIDE).axes[0]
    heights = {container.get_label(): container.lines[0].get_ydata() for container in axes.containers}
    assert list(heights) == ["scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var"]
    means = [100 * cell["mean"] for cell in summary["cells"] if cell["arm"] == "full"]
    assert heights["full"] == pytest.approx(means)


def test_intervals_are_drawn_where_they_are(summary):
    axes = label_efficiency(summary, WIDE).axes[0]
    (bars,) = axes.containers[3].lines[2]
    ends = [[100 * end for end in cell["interval"]] for cell in summary["cells"] if cell["arm"] == "full"]
    assert [segment[:, 1] for segment in bars.get_segments()] == [pytest.approx(pair) for pair in ends]


def test_the_label_axis_is_logarithmic_and_names_the_budgets(summary):
    axis = label_efficiency(summary, WIDE).axes[0].xaxis
    assert axis.get_scale() == "log"
    assert axis.get_major_formatter().seq == ["10", "25", "50", "100", "200", "538"]


def test_differences_have_a_panel_for_each_arm_but_the_twin(summary):
    for width in (WIDE, NARROW):
        with style():
            axes = paired_difference(summary, width).axes
        assert [panel.get_title(loc="left") for panel in axes] == [
            "linear_probe",
            "last_blocks:1",
            "full",
            "full@mean_var",
        ]


def test_the_band_is_the_margin(summary):
    band = paired_difference(summary, WIDE).axes[0].patches[0]
    assert (band.get_y(), band.get_height()) == (pytest.approx(-0.5), pytest.approx(1.0))


def test_undecided_markers_are_hollow_and_decided_ones_filled(summary):
    panel = paired_difference(summary, WIDE).axes[2]
    verdicts = [row["verdict"] for row in summary["verdicts"] if row["arm"] == "full"]
    filled = [
        container.lines[0].get_markerfacecolor() == container.lines[0].get_color() for container in panel.containers
    ]
    assert filled == [verdict != "undecided" for verdict in verdicts]
    assert set(filled) == {True, False}


def test_censored_estimates_point_to_where_the_truth_lies(summary):
    axes = effective_data(summary, WIDE).axes[1]
    censored = [row for row in summary["effective_data"] if row["measure"] == "error" and row["censored"]]
    assert censored, "the fixture is meant to hold a censored estimate"
    pointing = {"above": "^", "below": "v"}
    markers = [line.get_marker() for line in axes.lines if line.get_marker() in ("^", "v")]
    assert sorted(markers) == sorted(pointing[row["censored"]] for row in censored)


def test_figures_are_saved_as_png_and_pdf_and_returned_in_two_widths(summary, tmp_path):
    pages = write_figures(summary, tmp_path)
    names = sorted(pages)
    saved = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert saved == [f"{name}.{ending}" for name in names for ending in ("pdf", "png")]
    assert {"effective_data", "label_efficiency", "paired_difference"} <= set(names)
    assert all(pair["wide"] != pair["narrow"] for pair in pages.values())


def test_what_has_no_data_has_no_figure(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", unfinished=lambda arm, *key: arm != "scratch")
    pages = write_figures(build_summary(read_comparison(directory)), directory)
    assert "label_efficiency" in pages
    assert not {"effective_data", "paired_difference"} & set(pages)
    directory = make_comparison(tmp_path / "d", unfinished=lambda *key: True)
    assert write_figures(build_summary(read_comparison(directory)), directory) == {}
    assert not (directory / "figures").exists()


def test_one_seed_one_budget_and_one_arm_can_be_drawn(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", arms=("scratch", "full"), budgets=(10,), seeds=(0,))
    summary = build_summary(read_comparison(directory))
    with style():
        heights = label_efficiency(summary, WIDE).axes[0].containers[0].lines[0].get_ydata()
    assert np.isfinite(heights).all()
    assert {"effective_data", "label_efficiency", "paired_difference"} <= set(write_figures(summary, directory))


def test_pyplot_is_never_imported():
    code = "import sys, tlj.evidence.page.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
