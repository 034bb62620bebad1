"""The metric that a comparison is judged by."""

from dataclasses import replace

import pytest

from tlj.errors import InputError
from tlj.evidence.judging.verdict import compare_arms
from tlj.evidence.scores.judged import Metric, judged, metric_of, oriented
from tlj.evidence.words.answer import answer, evidence_of


@pytest.fixture
def judged_by(in_memory, five_seeds):
    """A comparison of two arms, the second better in accuracy and so in loss, judged by a metric."""

    def make(metric):
        table = {"scratch": {10: five_seeds(0.6)}, "full": {10: five_seeds(0.7)}}
        comparison = in_memory(table)
        return replace(comparison, declared={**comparison.declared, "metric": metric})

    return make


def test_a_loss_is_native_in_its_values_and_negated_where_more_is_better(judged_by):
    comparison = judged_by("nll")
    assert metric_of(comparison) == Metric("nll")
    assert judged(comparison, "full", 10)[2] == pytest.approx(0.75)
    assert oriented(comparison, "full", 10)[2] == pytest.approx(-0.75)
    assert oriented(judged_by("accuracy"), "full", 10)[2] == pytest.approx(0.7)


@pytest.mark.parametrize(("metric", "difference"), [("accuracy", 0.1), ("nll", 0.25)])
def test_differences_are_positive_where_the_arm_is_better_by_any_metric(judged_by, metric, difference):
    row = compare_arms(judged_by(metric), "full", "scratch", 10)
    assert row.difference.estimate.mean == pytest.approx(difference)
    assert row.verdict == "helps"
    assert compare_arms(judged_by(metric), "scratch", "full", 10).verdict == "hurts"


def test_the_answer_says_differences_in_the_unit_of_the_metric(judged_by):
    comparison = judged_by("nll")
    verdicts = {("full", "scratch", 10): compare_arms(comparison, "full", "scratch", 10)}
    evidence = evidence_of(comparison, verdicts)
    assert answer(evidence).endswith("at 10 labels, by +0.25 nats [0.25, 0.25].")
    assert evidence.means["full", 10] > evidence.means["scratch", 10]


def test_a_run_for_which_the_metric_is_not_defined_is_left_out(judged_by):
    comparison = judged_by("nll")
    last = next(run for run in comparison.runs if run.key.seed == 4)
    diverged = replace(last, scores=replace(last.scores, loss=float("inf")))
    runs = tuple(diverged if run is last else run for run in comparison.runs)
    comparison = replace(comparison, runs=runs)
    assert list(judged(comparison, last.key.arm, 10)) == [0, 1, 2, 3]
    assert compare_arms(comparison, "full", "scratch", 10).seeds == (0, 1, 2, 3)


def test_a_metric_that_there_is_not_is_bad_input(judged_by):
    with pytest.raises(InputError, match=r"comparison\.json: unknown metric 'acuracy'; did you mean 'accuracy'"):
        metric_of(judged_by("acuracy"))


def test_a_metric_of_another_kind_of_labels_is_bad_input(judged_by):
    comparison = judged_by("rmse")
    values = {"accuracy": 0.5, "nll": 1.0, "brier": 0.5}
    runs = tuple(replace(run, scores=replace(run.scores, values=values)) for run in comparison.runs)
    with pytest.raises(InputError, match="unknown metric 'rmse'.*use one of accuracy, brier, nll"):
        metric_of(replace(comparison, runs=runs))
