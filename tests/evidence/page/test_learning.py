"""The section on learning curves."""

import pytest

from tlj.evidence.page.learning import learning_context, learning_curves


def cell(arm, budget=50, rises=False, validation=(0.9, 0.4, 0.6), gap=True):
    steps = [10 * i for i in range(1, len(validation) + 1)]
    lowest = {"step": 20, "loss": 0.4} if len(validation) > 1 else None
    return {
        "arm": arm,
        "budget": budget,
        "seeds": [0, 1],
        "train": {"steps": [5, 10, 30], "loss": [1.5, 0.8, 0.1]},
        "validation": {"steps": steps, "loss": list(validation)},
        "gap": {"at": "best", "steps": [20, 20], "train": 0.1, "test": 0.5, "mean": 0.4, "interval": [0.3, 0.5]}
        if gap
        else None,
        "lowest": lowest,
        "rise": {"step": 30, "mean": 0.2, "standard_error": 0.01} if lowest else None,
        "rises": rises,
    }


def summary_of(*cells):
    arms = [{"arm": name, "role": "twin" if name == "scratch" else "transfer"} for name in ("scratch", "full")]
    return {"arms": arms, "learning": {"standard_errors": 2.0, "least_rise": 0.02, "cells": list(cells)}}


def told(*cells):
    return learning_context(None, summary_of(*cells))["learning"]


def test_a_rise_is_told_by_arm_with_its_labels_its_size_and_its_step():
    found = told(cell("scratch", 10, rises=True), cell("scratch", 50, rises=True), cell("full", 50))
    assert found["verdict"].startswith("The validation loss rises towards the end in 2 of 3 pairs")
    by = "by 50\N{NO-BREAK SPACE}% from step 20 on"
    assert found["flags"] == [f"scratch: at 10 labels {by} and at 50 labels {by}."]


def test_an_arm_with_many_rises_is_told_shortly():
    (flag,) = told(*(cell("full", budget, rises=True) for budget in range(10, 20)))["flags"]
    assert flag.count("by 50") == 4
    assert flag.endswith("and at 6 more.")


def test_what_does_not_rise_and_what_cannot_be_told_is_said():
    assert told(cell("full"))["verdict"].startswith("In none of 1 pairs")
    assert "cannot be told" in told(cell("full", rises=None))["verdict"]


def test_the_numbers_behind_the_figure_are_there():
    (row,) = told(cell("full", rises=True))["rows"]
    assert (row["gap"], row["interval"], row["at"]) == ("0.4", "[0.3, 0.5]", "best")
    assert (row["lowest"], row["lowest_step"], row["rise"], row["error"]) == ("0.4", "step 20", "0.2", "± 0.01")
    assert row["word"] == "rises"
    (row,) = told(cell("full", rises=None, validation=(0.5,), gap=False))["rows"]
    assert (row["gap"], row["lowest"], row["rise"], row["word"]) == ("–", "–", "–", "cannot be told")


@pytest.mark.parametrize("width", [7.4, 4.0])
def test_the_figure_has_a_panel_for_each_arm_at_its_largest_budget(width):
    figure = learning_curves(summary_of(cell("scratch", 10), cell("scratch", 50), cell("full", 50, rises=True)), width)
    assert [axes.get_title() for axes in figure.axes] == ["scratch\n50 labels", "full\n50 labels, rises"]
    train, validation = figure.axes[1].lines[:2]
    assert (list(train.get_ydata()), list(validation.get_ydata())) == ([1.5, 0.8, 0.1], [0.9, 0.4, 0.6])
    assert list(figure.axes[1].lines[2].get_xdata()) == [20]


def test_a_loss_that_explodes_at_first_does_not_flatten_the_rest():
    figure = learning_curves(summary_of(cell("full", validation=(900.0, 0.4, 0.6))), 7.4)
    assert figure.axes[0].get_ylim()[1] == pytest.approx(2.4)


def test_without_curves_there_is_nothing():
    assert learning_context(None, {"learning": None}) == {"learning": None}
    assert learning_curves({"arms": []}, 7.4) is None


def test_seeds_without_a_common_step_leave_no_curve_to_draw():
    nothing = {"steps": [], "loss": []}
    empty = {**cell("full"), "train": nothing, "validation": nothing, "lowest": None, "rise": None, "rises": None}
    assert learning_curves(summary_of(empty), 7.0) is None
    assert len(learning_curves(summary_of(empty, cell("scratch")), 7.0).axes) == 1
