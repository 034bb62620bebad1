"""The figure of quality against cost."""

import pytest

from tlj.evidence.page.drawing import NARROW, SURFACE, WIDE, line_styles, style
from tlj.evidence.page.pareto import draw_pareto

ARMS = [{"arm": "scratch", "role": "twin"}, {"arm": "full", "role": "transfer"}]


def row(arm, budget, mean, seconds, dollars=None, front=True):
    return {
        "arm": arm,
        "budget": budget,
        "mean": mean,
        "interval": [mean - 0.1, mean + 0.1],
        "accelerator_seconds_per_run": seconds,
        "on_front": front,
        "dollars": dollars,
        "on_front_of_dollars": dollars and front,
    }


def drawn(rows, width=WIDE, metric="accuracy"):
    with style():
        return draw_pareto({"cost": {"pareto": rows}, "arms": ARMS, "metric": metric}, width)


@pytest.fixture
def rows():
    budgets = (10, 20, 40, 80, 160)
    return [row("scratch", b, 0.5, 4.0, front=False) for b in budgets] + [row("full", b, 0.6, 3.0) for b in budgets]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_there_is_a_panel_for_the_smallest_a_middle_and_the_largest_number_of_labels(rows, width):
    titles = [axes.get_title(loc="left") for axes in drawn(rows, width).axes]
    assert titles == ["10 labels", "40 labels", "160 labels"]


def test_markers_are_filled_on_the_front_alone(rows):
    axes = drawn(rows).axes[0]
    faces = {line.get_marker(): line.get_markerfacecolor() for line in axes.lines if line.get_marker() != "None"}
    looks = line_styles(ARMS)
    assert faces[looks["scratch"]["marker"]] == SURFACE
    assert faces[looks["full"]["marker"]] == looks["full"]["color"]


def test_dollars_have_a_panel_of_their_own_with_ticks_in_dollars(rows):
    figure = drawn([{**each, "dollars": 3.0 * each["budget"], "on_front_of_dollars": True} for each in rows])
    axes = figure.axes[-1]
    assert axes.get_title(loc="left") == "All numbers of labels, by dollars"
    assert "$100" in [axes.xaxis.get_major_formatter()(tick, 0) for tick in axes.xaxis.get_major_locator()()]


def test_a_metric_that_is_no_share_keeps_its_unit(rows):
    lines = drawn(rows, metric="nll").axes[0].lines
    assert max(max(line.get_ydata()) for line in lines if len(line.get_ydata())) < 1.0


def test_one_arm_or_no_step_time_draws_nothing(rows):
    assert drawn(rows[:5]) is None
    assert drawn([{**each, "accelerator_seconds_per_run": None} for each in rows]) is None
