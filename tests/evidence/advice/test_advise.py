"""The advice as a whole: its JSON, its words, and what it refuses to say."""

import dataclasses
import json

import pytest

from tlj.errors import InputError
from tlj.evidence.advice.advise import advise, advise_on
from tlj.evidence.advice.question import Question

TIMES = {"scratch": 4.0, "full": 4.0}


@pytest.fixture(scope="module")
def directory(make_comparison, tmp_path_factory):
    return make_comparison(
        tmp_path_factory.mktemp("advise"), arms=("scratch", "linear_probe", "full"), budgets=(10, 25), seeds=(0, 1, 2)
    )


@pytest.fixture
def curve(five_seeds):
    means = {"scratch": {10: 0.5, 100: 0.8}, "full": {10: 0.7, 100: 0.89}}
    return {arm: {b: five_seeds(mean) for b, mean in row.items()} for arm, row in means.items()}


def test_the_answer_says_what_with_how_many_labels_for_how_much(ask, curve, priced):
    advice = ask(curve, priced, TIMES, label_cost=0.05, workers=3, budget=500, target=0.85)
    assert (advice["decision"], advice["arm"], advice["budget"]) == ("transfer", "full", 100)
    assert advice["cost"]["labels"] == pytest.approx(15.0)
    assert advice["cost"]["training"] == pytest.approx(0.04)
    assert advice["cost"]["included"] == ["labels", "training"]
    text = advice["text"]
    assert text.startswith("Transfer: fine-tuning everything (full) with 100 labels. ")
    assert "accuracy of 89.0 % [88.6, 89.4], the mean of 5 seeds" in text
    assert "The whole interval reaches the target of 85.0 %." in text
    assert "+9.0 points [9.0, 9.0] against scratch (helps)" in text
    assert "It costs $15.04 of the budget of $500: $15 for 100 labels at $0.05 by 3 workers each and $0.04 for" in text


def test_what_is_not_priced_is_said_to_be_left_out(ask, curve):
    advice = ask(curve, label_cost=0.05)
    assert advice["cost"]["training"] is None
    assert "training is not priced and left out; the pretraining counts as sunk" in advice["text"]


def test_nothing_is_extrapolated_to_a_target_that_was_not_reached(ask, curve):
    advice = ask(curve, target=0.95)
    assert (advice["decision"], advice["arm"], advice["budget"], advice["cost"]) == ("undecided", None, None, None)
    assert advice["target"] == {
        "value": 0.95,
        "reached": False,
        "reached_within_budget": False,
        "interval_reaches": False,
        "best": {"arm": "full", "budget": 100, "mean": pytest.approx(0.89)},
    }
    assert "not reached within the measured budgets (best: full with 100 labels, 89.0 % [88.6, 89.4])" in advice["text"]


def test_a_target_that_only_the_mean_reaches_is_not_sure_to_be_met(ask, curve):
    advice = ask(curve, target=0.888)
    assert not advice["target"]["interval_reaches"]
    assert "not sure to be met" in advice["text"]


def test_a_target_that_is_out_of_budget_is_said_to_be(ask, curve):
    advice = ask(curve, target=0.85, label_cost=1.0, budget=20)
    assert advice["target"]["reached"]
    assert not advice["target"]["reached_within_budget"]
    assert advice["text"].startswith("Undecided: nothing that reaches the target can be had for $20.")
    assert "a budget of $100, for full with 100 labels" in advice["text"]


def test_asked_for_nothing_it_says_what_the_evidence_says(ask, curve):
    advice = ask(curve)
    assert advice["text"].startswith("Transfer: fine-tuning everything (full) beats training from scratch")


def test_scratch_is_advised_with_the_best_transferred_arm_beside_it(ask, five_seeds):
    cells = {"scratch": {10: five_seeds(0.9)}, "full": {10: five_seeds(0.8)}}
    advice = ask(cells, target=0.7)
    assert (advice["decision"], advice["verdict"]) == ("scratch", None)
    assert advice["text"].startswith("Train from scratch: training from scratch (scratch) with 10 labels.")
    assert (
        "The best transferred arm there, full, is at −10.0 points [−10.0, −10.0] against it (hurts)." in advice["text"]
    )
    assert "sunk" not in advice["text"]


def test_an_unfinished_comparison_says_what_is_missing(ask, curve):
    advice = ask(curve, facts={"missing": 2}, target=0.85)
    assert advice["missing"] == 2
    assert advice["text"].startswith("So far, with 20 of 22 runs: transfer: ")
    assert "finish the 2 missing runs: 2 of scratch" in advice["text"]


@pytest.mark.parametrize("asked", [{}, {"target": 0.9}, {"label_cost": 0.1, "budget": 5}])
def test_a_comparison_of_files_is_answered_with_plain_json(directory, asked):
    advice = advise_on(directory, Question(**asked))
    json.dumps(advice, allow_nan=False)
    assert advice["decision"] in ("transfer", "scratch", "hybrid", "undecided")
    assert advice["text"].endswith(".")
    assert all(reason in advice["text"] for reason in advice["reasons"])
    assert "None" not in advice["text"]


def test_a_comparison_without_a_run_is_undecided(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", budgets=(10,), unfinished=lambda *key: True, step_time=False)
    advice = advise_on(directory, Question(target=0.9))
    assert (advice["decision"], advice["next_run"]["runs"]) == ("undecided", 25)
    assert "no run is finished" in advice["text"]


def test_a_target_in_percent_is_refused(directory):
    with pytest.raises(InputError, match="0.9 for 90 %"):
        advise_on(directory, Question(target=90))


def test_one_seed_that_reaches_a_target_is_not_said_to_have_an_interval(ask):
    text = ask({"scratch": {10: [0.5]}, "full": {10: [0.9]}}, target=0.8)["text"]
    assert "One seed reaches the target of 80.0 %, so it is not sure to be met." in text
    assert "the interval does not" not in text


def test_the_decision_is_that_of_the_answer_where_transfer_hurts_or_is_merely_cheaper(ask, five_seeds):
    cells = {"scratch": {10: five_seeds(0.8), 100: five_seeds(0.9)}}
    cells["full"] = {10: five_seeds(0.7), 100: five_seeds(0.9)}
    advice = ask(cells, milliseconds={"scratch": 4.0, "full": 1.0})
    assert advice["text"].startswith("Train from scratch: at 10 labels")
    assert (advice["decision"], advice["budget"]) == ("scratch", 10)


def test_what_failed_and_why_it_ended_are_told(measure, five_seeds):
    known = measure({"scratch": {10: five_seeds(0.5)}, "full": {10: five_seeds(0.7)}}, missing=2)
    failed = [{"arm": "full", "budget": 10, "seed": 9, "path": "runs/full/10/9", "error": "NaN"}]
    summary = {**known.summary, "failed": failed, "ended": "2 accelerator-hours are spent of the 2 declared"}
    text = advise(dataclasses.replace(known, summary=summary), Question())["text"]
    assert "Runs that failed and are in none of this: 1 of full." in text
    assert (
        "The comparison was ended, because 2 accelerator-hours are spent of the 2 declared; past that, the next" in text
    )
    assert "finish the" not in text
