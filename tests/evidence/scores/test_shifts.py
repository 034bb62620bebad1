"""Every arm on the shifted test sets."""

import dataclasses
import json

import pytest

from tlj.evidence.scores.metrics import Scores
from tlj.evidence.scores.shift_scores import ShiftScores
from tlj.evidence.scores.shifts import shift_audit


@pytest.fixture
def shifted(in_memory):
    """A comparison whose shifted accuracies are the own ones less a drop, by arm and set."""

    def make(values, drops, metric="accuracy", auroc=0.9):
        comparison = in_memory({arm: {50: seeds} for arm, seeds in values.items()})
        runs = []
        for run in comparison.runs:
            own = run.scores.accuracy
            sets = {
                name: ShiftScores(
                    Scores(own - drop, 2.5 * (1 - own + drop), 40, {"accuracy": own - drop, "auroc": None}), auroc, 0.2
                )
                for name, drop in drops[run.key.arm].items()
            }
            runs.append(dataclasses.replace(run, scores=dataclasses.replace(run.scores, shifts=sets)))
        return dataclasses.replace(comparison, runs=tuple(runs), declared={**comparison.declared, "metric": metric})

    return make


VALUES = {"scratch": [0.80, 0.81, 0.82], "full": [0.90, 0.90, 0.93]}
DROPS = {"scratch": {"fog": 0.1, "night": 0.3}, "full": {"fog": 0.19, "night": 0.1}}


def test_a_comparison_without_shifted_sets_has_no_audit(in_memory):
    assert shift_audit(in_memory({"scratch": {50: [0.8]}})) is None


def test_values_and_drops_are_those_of_the_runs(shifted):
    audit = shift_audit(shifted(VALUES, DROPS))
    cells = {(row["arm"], row["shift"]): row for row in audit["cells"]}
    row = cells["full", "fog"]
    assert row["mean"] == pytest.approx(sum(VALUES["full"]) / 3 - 0.19)
    assert (row["drop"], row["drop_interval"]) == (pytest.approx(0.19), pytest.approx([0.19, 0.19]))
    assert row["own_mean"] == pytest.approx(0.91)
    assert row["metrics"] == {"accuracy": pytest.approx(row["mean"]), "auroc": None}
    assert row["msp_auroc"]["mean"] == pytest.approx(0.9)
    assert audit["sets"] == [{"shift": "fog", "examples": 40}, {"shift": "night", "examples": 40}]
    assert [(row["arm"], row["shift"]) for row in audit["worst"]] == [("scratch", "night"), ("full", "fog")]
    json.dumps(audit, allow_nan=False)


def test_differences_are_paired_and_speak_for_the_arm(shifted):
    rows = {row["shift"]: row for row in shift_audit(shifted(VALUES, DROPS))["differences"]}
    assert rows["night"]["difference"] == pytest.approx(0.1 + 0.2)
    assert (rows["night"]["word"], rows["fog"]["word"]) == ("better", "undecided")
    # The arm drops by 0.2 less than the twin there.
    assert rows["night"]["drop_difference"] == pytest.approx(-0.2)
    assert rows["fog"]["p_floor"] == 0.25


def test_an_arm_that_is_worse_under_shift_is_said_to_be(shifted):
    drops = {"scratch": {"fog": 0.0}, "full": {"fog": 0.5}}
    assert shift_audit(shifted(VALUES, drops))["differences"][0]["word"] == "worse"


def test_of_a_loss_a_drop_is_a_rise_and_the_worst_is_the_highest(shifted):
    audit = shift_audit(shifted(VALUES, DROPS, metric="nll"))
    cells = {(row["arm"], row["shift"]): row for row in audit["cells"]}
    assert cells["scratch", "night"]["drop"] == pytest.approx(2.5 * 0.3)
    assert audit["worst"][0]["shift"] == "night"
    assert {row["shift"]: row["word"] for row in audit["differences"]}["night"] == "better"


def test_what_cannot_be_told_apart_is_none(shifted):
    cell = shift_audit(shifted(VALUES, DROPS, auroc=None))["cells"][0]
    assert (cell["msp_auroc"], cell["msp_fpr_at_95"]["mean"]) == (None, pytest.approx(0.2))


def test_a_set_that_one_arm_lacks_is_compared_nowhere(shifted):
    audit = shift_audit(shifted(VALUES, {**DROPS, "full": {"fog": 0.15}}))
    assert [row["shift"] for row in audit["differences"]] == ["fog"]
