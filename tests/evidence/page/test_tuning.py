import pytest

from tlj.evidence.page.tuning import expected_best, tuning_context


@pytest.fixture
def tuned():
    def cell(arm, budget, edges):
        return {"arm": arm, "budget": budget, "edges": edges, "expected_best": [0.5, 0.4, 0.35]}

    cells = [cell("scratch", 10, {"optimizer.learning_rate": "low"}), cell("full", 10, {}), cell("full", 20, {})]
    arms = [{"arm": "scratch", "role": "twin"}, {"arm": "full", "role": "transfer"}]
    return {"arms": arms, "tuning": {"metric": "validation_loss", "cells": cells}}


def test_edges_are_listed_and_the_figure_is_said_in_words(tuned):
    told = tuning_context(None, tuned)
    assert told["edges"] == [{"arm": "scratch", "budget": 10, "key": "optimizer.learning_rate", "side": "low"}]
    assert "full at 20 labels: 0.5 with 1 trial, 0.35 with 3" in told["alternative"]


def test_the_expected_best_has_a_panel_per_budget_and_a_line_per_arm(tuned):
    figure = expected_best(tuned, 7.4)
    assert [axes.get_title() for axes in figure.axes] == ["10 labels", "20 labels"]
    lines = [[line for line in axes.lines if len(line.get_xdata())] for axes in figure.axes]
    assert [len(found) for found in lines] == [2, 1]
    assert list(lines[0][0].get_ydata()) == [0.5, 0.4, 0.35]
    assert expected_best({**tuned, "tuning": None}, 7.4) is None
