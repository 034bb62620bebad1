"""The answer in one sentence, for every shape that the verdicts can take."""

import pytest

from tlj.evidence.judging.verdict import all_verdicts
from tlj.evidence.words.answer import answer, evidence_of, stretches_of


@pytest.fixture
def ask(in_memory, five_seeds):
    """Answers from `{arm: {budget: mean or accuracies}}`; means get paired seeds without spread in their difference."""

    def evidence(table, **settings):
        cells = {
            arm: {b: five_seeds(value) if isinstance(value, float) else value for b, value in by_budget.items()}
            for arm, by_budget in table.items()
        }
        comparison = in_memory(cells, **settings)
        return evidence_of(comparison, all_verdicts(comparison))

    return evidence


WIDE = [0.1, 0.3, 0.5, 0.7, 0.9]
REVERSED = WIDE[::-1]


def test_transfer_early_and_undecided_late(ask):
    evidence = ask({"scratch": {10: 0.5, 25: 0.6, 100: REVERSED}, "full": {10: 0.7, 25: 0.65, 100: WIDE}})
    assert answer(evidence) == (
        "Transfer: fine-tuning everything (full) beats training from scratch at up to 25 labels, by "
        "+20.0 points [20.0, 20.0] at 10 and +5.0 points [5.0, 5.0] at 25; at 100 labels the data do not decide."
    )


def test_transfer_everywhere(ask):
    text = answer(ask({"scratch": {10: 0.5, 25: 0.6}, "linear_probe": {10: 0.7, 25: 0.65}}))
    assert text.startswith(
        "Transfer: training the head alone (linear_probe) beats training from scratch at every budget (10 to 25 labels)"
    )
    assert "decide" not in text


def test_another_arm_takes_over_where_the_first_is_beaten(ask):
    evidence = ask(
        {
            "scratch": {10: 0.5, 25: 0.6, 100: 0.7},
            "linear_probe": {10: 0.7, 25: 0.65, 100: 0.6},
            "full": {10: 0.6, 25: 0.8, 100: 0.9},
        }
    )
    stretches = stretches_of(evidence)
    assert [(s.decision, s.budgets, s.arm.name) for s in stretches] == [
        ("transfer", (10,), "linear_probe"),
        ("transfer", (25, 100), "full"),
    ]
    text = answer(evidence)
    assert "(linear_probe) beats training from scratch at 10 labels, by +20.0 points" in text
    assert "(full) beats training from scratch at 25 labels and above, by +20.0 points" in text


def test_an_arm_that_is_not_shown_to_be_worse_keeps_a_stretch_together(ask):
    evidence = ask(
        {
            "scratch": {10: 0.1, 25: 0.1},
            "linear_probe": {10: [0.5, 0.6, 0.7, 0.8, 0.9], 25: 0.3},
            "full": {10: 0.6, 25: 0.8},
        }
    )
    assert [(s.budgets, s.arm.name) for s in stretches_of(evidence)] == [((10, 25), "full")]


def test_transfer_early_and_scratch_late(ask):
    text = answer(ask({"scratch": {10: 0.5, 25: 0.7}, "linear_probe": {10: 0.6, 25: 0.65}}))
    assert text.startswith("Transfer: training the head alone")
    assert (
        "; at 25 labels every transferred arm ends below it (linear_probe is at −5.0 points [−5.0, −5.0] at 25)."
        in text
    )


def test_scratch_everywhere(ask):
    text = answer(ask({"scratch": {10: 0.5, 25: 0.7}, "full": {10: 0.4, 25: 0.6}, "linear_probe": {10: 0.3, 25: 0.4}}))
    assert text == (
        "Train from scratch: at every budget (10 to 25 labels) every transferred arm ends below it "
        "(full is at −10.0 points [−10.0, −10.0] at 25)."
    )


def test_no_difference_that_matters(ask):
    text = answer(ask({"scratch": {10: 0.5, 25: 0.7}, "full": {10: 0.5, 25: 0.7}, "linear_probe": {10: 0.4, 25: 0.6}}))
    assert text.startswith("Transfer gains nothing here: at every budget (10 to 25 labels) no transferred arm gains")
    assert "within the margin of scratch (full is at 0.0 points" in text


def test_equal_and_undecided_claims_no_more_than_that(ask):
    text = answer(ask({"scratch": {10: REVERSED, 25: 0.7}, "full": {10: WIDE, 25: 0.7}}))
    assert text.startswith("No gain from transfer is shown: at 25 labels")
    assert text.endswith("; at 10 labels the data do not decide.")


def test_nothing_decided_says_undecided(ask):
    text = answer(ask({"scratch": {10: REVERSED, 25: REVERSED}, "full": {10: WIDE, 25: WIDE}}))
    assert text == (
        "Undecided: at every budget (10 to 25 labels) 5 seeds do not show whether transfer or training from scratch "
        "is better."
    )


def test_one_seed_is_undecided_and_says_why(ask):
    assert answer(ask({"scratch": {10: [0.1]}, "full": {10: [0.9]}})).startswith(
        "Undecided: one seed gives no interval"
    )


def test_no_finished_pair_is_undecided(ask):
    text = answer(ask({"scratch": {10: 0.5}, "full": {25: 0.6}}, missing=3))
    assert text == "Undecided: no transferred arm and its twin have both finished a run yet (3 of 13 to go)."


def test_an_unfinished_comparison_says_so_first(ask):
    text = answer(ask({"scratch": {10: 0.5, 25: 0.5}, "full": {10: 0.6}}, missing=5))
    assert text.startswith("So far, with 15 of 20 runs, transfer: ")
    assert text.endswith("; at 25 labels nothing has been compared yet.")


def test_a_gain_under_the_margin_is_marked(ask):
    scratch = [0.5, 0.5, 0.5, 0.5, 0.5]
    text = answer(ask({"scratch": {10: scratch}, "full": {10: [0.501, 0.502, 0.503, 0.504, 0.508]}}))
    assert "beats training from scratch at 10 labels, by +0.4 points [0.0, 0.7], under the margin." in text


def test_a_control_never_makes_the_answer_transfer(ask):
    text = answer(ask({"scratch": {10: 0.5}, "full": {10: 0.5}, "full@mean_var": {10: 0.9}}))
    assert text.startswith("Transfer gains nothing here")


def test_the_same_decision_in_two_places_is_one_clause(ask):
    evidence = ask(
        {
            "scratch": {10: REVERSED, 25: 0.5, 50: REVERSED, 100: REVERSED},
            "full": {10: WIDE, 25: 0.6, 50: WIDE, 100: WIDE},
        }
    )
    assert answer(evidence).endswith("; at 10 labels and at 50 labels and above the data do not decide.")


def test_a_gain_that_the_scale_of_the_weights_gives_as_well_is_not_credited_to_the_features(in_memory, five_seeds):
    table = {"scratch": 0.5, "full": 0.7, "full@mean_var": 0.7}
    comparison = in_memory({arm: {10: five_seeds(mean)} for arm, mean in table.items()})
    text = answer(evidence_of(comparison, all_verdicts(comparison)))
    assert text.startswith("Transfer: ")
    assert text.endswith(
        "but weights redrawn at the same scale (full@mean_var) are not shown to be worse there, so the features are "
        "not shown to help."
    )


def test_a_gain_over_the_scale_of_the_weights_is_left_unqualified(in_memory, five_seeds):
    table = {"scratch": 0.5, "full": 0.7, "full@mean_var": 0.6}
    comparison = in_memory({arm: {10: five_seeds(mean)} for arm, mean in table.items()})
    assert "features" not in answer(evidence_of(comparison, all_verdicts(comparison)))


def test_one_arm_that_wins_at_budgets_apart_is_named_once(in_memory, five_seeds):
    gains = {10: 0.2, 25: 0.0, 50: 0.2}
    cells = {b: five_seeds(0.5) for b in gains}
    # At 25 labels the difference is noise around zero: its five values have no shared sign.
    full = {b: five_seeds(0.5 + gain) if gain else [0.45, 0.56, 0.44, 0.55, 0.5] for b, gain in gains.items()}
    comparison = in_memory({"scratch": cells, "full": full})
    text = answer(evidence_of(comparison, all_verdicts(comparison)))
    assert text.count("fine-tuning everything (full)") == 1
    assert "at 10 labels and at 50 labels" in text
    assert "at 25 labels the data do not decide" in text


def test_an_arm_that_was_not_run_somewhere_is_not_said_to_end_below_there(ask):
    evidence = ask(
        {"scratch": {10: 0.8, 25: 0.9}, "full": {10: 0.5, 25: 0.6}, "linear_probe": {10: 0.4}},
    )
    assert "every transferred arm that was run there ends below it" in answer(evidence)
