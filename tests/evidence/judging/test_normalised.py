"""Scores on one scale."""

from dataclasses import replace

import numpy as np
import pytest

from tlj.evidence.judging.normalised import Scale, normalised_scores, scale_of


def classified(comparison, classes=5, **declared):
    runs = tuple(replace(run, summary={"classes": [str(i) for i in range(classes)]}) for run in comparison.runs)
    return replace(comparison, runs=runs, declared={**comparison.declared, **declared})


@pytest.fixture
def comparison(in_memory):
    return in_memory({"scratch": {10: [0.5, 0.6], 20: [0.6, 0.8]}, "full": {10: [0.7, 0.8], 20: [0.9]}})


def test_guessing_is_zero_and_perfect_is_one():
    scale = Scale(0.2, 1.0)
    assert scale(np.array([0.2, 1.0, 0.6])) == pytest.approx([0.0, 1.0, 0.5])
    loss = Scale(np.log(5), 0.0)
    assert loss(np.array([np.log(5), 0.0])) == pytest.approx([0.0, 1.0])


def test_accuracy_is_guessed_right_once_in_so_many_classes(comparison):
    assert scale_of(classified(comparison)) == Scale(0.2, 1.0)
    assert scale_of(classified(comparison, classes=2)) == Scale(0.5, 1.0)


def test_without_classes_the_chance_of_an_accuracy_is_not_known(comparison):
    assert scale_of(comparison) is None


def test_a_declared_scale_comes_first(comparison):
    assert scale_of(classified(comparison, normalise={"chance": 0.4, "ceiling": 0.9})) == Scale(0.4, 0.9)
    assert scale_of(classified(comparison, normalise={"chance": 0.4, "ceiling": 0.4})) is None


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("auroc", (0.5, 1)), ("nll", (np.log(5), 0)), ("brier", (0.8, 0)), ("macro_f1", (0, 1)), ("r2", (0, 1))],
)
def test_every_metric_with_a_known_chance_has_a_scale(comparison, metric, expected):
    scale = scale_of(classified(comparison, metric=metric))
    assert (scale.chance, scale.ceiling) == pytest.approx(expected)


def test_an_error_in_its_own_unit_has_no_scale(comparison):
    assert scale_of(classified(comparison, metric="rmse")) is None


def test_only_seeds_that_have_finished_everywhere_are_scored(comparison):
    budgets, lines = normalised_scores(comparison, "full", Scale(0.0, 1.0))
    assert budgets == (10, 20)
    assert list(lines) == [0]
    assert lines[0] == pytest.approx([0.7, 0.9])
