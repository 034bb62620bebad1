import json

import pytest

from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary
from tlj.evidence.words.claims import NOT_MEASURED, claims


@pytest.fixture(scope="module")
def summary(comparison_directory):
    return build_summary(read_comparison(comparison_directory))


def said(summary, start):
    return next(row for row in claims(summary) if row["claim"].startswith(start))["here"]


def changed(summary, **parts):
    return {**json.loads(json.dumps(summary)), **parts}


def test_every_claim_is_in_the_summary_with_what_was_found_or_that_nothing_was(summary):
    rows = summary["cost"]["claims"]
    assert len(rows) == 6
    assert all(row["measured"] == (row["here"] != NOT_MEASURED) for row in rows)


def test_labels_saved_are_one_less_the_inverse_of_the_multiplier_and_bounds_stay_bounds(summary):
    rows = [
        {"arm": "full", "budget": 10, "measure": "error", "multiplier": 4.0, "multiplier_interval": [2.0, 5.0],
         "censored": None, "interval_censored": [None, "above"]},
        {"arm": "full", "budget": 25, "measure": "error", "multiplier": 0.5, "multiplier_interval": None,
         "censored": "below", "interval_censored": [None, None]},
    ]  # fmt: skip
    text = said(changed(summary, effective_data=rows), "80 to 90")
    assert (
        text
        == "by test error, full with 10 labels saves 75.0 % [50.0, ≥ 80.0]; full with 25 labels saves at most −100.0 %"
    )


def test_the_share_of_the_accuracy_is_paired_by_seed(summary):
    told = changed(summary)
    for cell in told["cells"]:
        if cell["budget"] == 538 and cell["arm"] in ("scratch", "linear_probe"):
            half = cell["arm"] == "linear_probe"
            cell["values"] = [0.8 * (0.5 if half else 1.0)] * 5
    text = said(told, "85 to 95")
    assert text.startswith(
        "linear_probe, which takes the fewest FLOPs, reaches 50.0 % [50.0, 50.0] of scratch's accuracy"
    )
    assert "34.0 % of the training FLOPs" in text


def test_sooner_is_in_seconds_of_training_to_the_lowest_validation_loss_of_the_twin(summary):
    def cell(arm, losses):
        lowest = {"step": 10 * (losses.index(min(losses)) + 1), "loss": min(losses)}
        return {"arm": arm, "budget": 538, "lowest": lowest, "validation": {"steps": [10, 20, 30], "loss": losses}}

    cells = [cell("scratch", [3.0, 2.0, 1.0]), cell("full", [2.0, 1.0, 0.5]), cell("linear_probe", [2.0, 1.5, 1.2])]
    text = said(changed(summary, learning={"cells": cells}), "Training is dozens")
    assert "full 1.5 times sooner" in text
    assert "linear_probe never" in text
    assert said(changed(summary, learning=None), "Training is dozens") == NOT_MEASURED


def test_fine_tuning_is_held_against_the_probe_in_either_order(summary):
    pairs = [
        {"arm": "linear_probe", "against": "full", "budget": 10, "difference": -0.05, "interval": [-0.08, -0.02]},
        {"arm": "full", "against": "linear_probe", "budget": 25, "difference": 0.01, "interval": None},
    ]
    text = said(changed(summary, pairs=pairs), "Fine-tuning")
    assert text == ("full minus linear_probe: +5.0 points [2.0, 8.0] at 10 labels; +1.0 points at 25 labels")


def test_harm_names_its_cells_and_the_distance_of_the_domains(summary):
    verdicts = [
        {"arm": "full", "budget": 10, "verdict": "hurts", "interval": [-0.2, -0.1]},
        {"arm": "full", "budget": 25, "verdict": "helps", "interval": [0.1, 0.2]},
    ]
    text = said(changed(summary, verdicts=verdicts, screening={"source": {"distance": 1.5}}), "Between")
    assert text.startswith("hurts: full at 10 labels; the proxy A-distance of the two data sets is 1.50")
    text = said(changed(summary, verdicts=verdicts[1:], screening=None), "Between")
    assert (
        text == "in none of 1 cells does the interval lie below zero; how unlike the two domains are was not measured"
    )


def test_cheaper_is_by_accelerator_seconds_and_not_measured_without_step_times(summary):
    assert "linear_probe 49.5 %" in said(summary, "60 to 80")
    told = changed(summary)
    for row in told["cost"]["arms"]:
        row["accelerator_seconds_per_run"] = None
    assert said(told, "60 to 80") == NOT_MEASURED


def test_one_seed_has_no_interval_that_could_speak_against_harm(summary):
    verdicts = [{"arm": "full", "budget": 10, "verdict": "undecided", "interval": None}]
    assert said(changed(summary, verdicts=verdicts), "Between") == NOT_MEASURED


def test_labels_saved_by_the_loss_of_numbers_are_measured(summary):
    row = {"arm": "full", "budget": 10, "measure": "loss", "multiplier": 4.0, "multiplier_interval": None}
    row |= {"censored": None, "interval_censored": [None, None]}
    assert said(changed(summary, effective_data=[row]), "80 to 90") == "by test loss, full with 10 labels saves 75.0 %"


@pytest.mark.parametrize(("twin_lowest", "expected"), [(20, "full before it trains"), (0, NOT_MEASURED)])
def test_a_validation_before_the_first_step_is_no_time_to_divide_by(summary, twin_lowest, expected):
    curve = {"steps": [0, 10, 20], "loss": [0.5, 0.6, 0.7]}
    cells = [
        {"arm": "scratch", "budget": 538, "lowest": {"step": twin_lowest, "loss": 1.0}, "validation": curve},
        {"arm": "full", "budget": 538, "lowest": {"step": 0, "loss": 0.5}, "validation": curve},
    ]
    assert expected in said(changed(summary, learning={"cells": cells}), "Training is dozens")
