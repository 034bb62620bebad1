"""What follows the answer."""

from dataclasses import replace

import pytest

from tlj.evidence.judging.verdict import all_verdicts
from tlj.evidence.labels.effective_data import EffectiveData, effective_data
from tlj.evidence.words.answer import evidence_of
from tlj.evidence.words.findings import findings, notes, parity


@pytest.fixture
def said(in_memory, five_seeds):
    """The findings of `{arm: {budget: mean}}`."""

    def find(table, **settings):
        cells = {
            arm: {b: mean if isinstance(mean, list) else five_seeds(mean) for b, mean in by_budget.items()}
            for arm, by_budget in table.items()
        }
        comparison = in_memory(cells, **settings)
        losses = {
            arm: {b: [s.floored_error for s in comparison.cell(arm, b).values()] for b in by_budget}
            for arm, by_budget in table.items()
        }
        evidence = evidence_of(comparison, all_verdicts(comparison))
        return findings(evidence, effective_data("scratch", losses, "error")[1])

    return find


TABLE = {
    "scratch": {10: 0.50, 25: 0.60, 100: 0.80},
    "linear_probe": {10: 0.60, 25: 0.60, 100: 0.70},
    "full": {10: 0.70, 25: 0.75, 100: 0.85},
    "full@mean_var": {10: 0.52, 25: 0.60, 100: 0.80},
}


def test_another_arm_is_followed_over_the_budgets_against_the_twin_and_the_lead(said):
    assert said(TABLE)[1] == (
        "Training the head alone (linear_probe) gains on scratch at 10 labels (+10.0 points [10.0, 10.0]), equals "
        "scratch within the margin at 25 labels and falls behind scratch at 100 labels (−10.0 points [−10.0, −10.0]); "
        "it trails full at every budget (10 to 100 labels)."
    )


def test_what_cannot_be_told_cannot_at_any_budget(said):
    noisy = dict.fromkeys((10, 25, 100), [0.1, 0.9, 0.4, 0.8, 0.5])
    assert said({"scratch": TABLE["scratch"], "full": noisy}) == [
        "Fine-tuning everything (full) cannot be told from scratch at any budget (10 to 100 labels)."
    ]


def test_the_control_splits_the_gain_into_scale_and_features(said):
    assert said(TABLE)[2] == (
        "Of the gain of full at 10 labels, +20.0 points [20.0, 20.0], the scale of the weights alone (full@mean_var: "
        "each leaf redrawn with its pretrained mean and variance) gives +2.0 points [2.0, 2.0], and the features add "
        "+18.0 points [18.0, 18.0]; full beats full@mean_var at every budget (10 to 100 labels)."
    )


def test_a_control_that_shows_nothing_is_not_said_to_give(said):
    text = said(TABLE | {"full@mean_var": {10: 0.50, 25: 0.60, 100: 0.80}})[2]
    assert "gives no sure gain, 0.0 points [0.0, 0.0]" in text
    text = said(TABLE | {"full@mean_var": {10: 0.40, 25: 0.60, 100: 0.80}})[2]
    assert "costs −10.0 points [−10.0, −10.0]" in text


def test_without_a_gain_there_is_nothing_to_split(said):
    table = TABLE | {"full": {10: 0.50, 25: 0.60, 100: 0.80}}
    text = said({arm: table[arm] for arm in ("scratch", "full", "full@mean_var")})
    assert text == [
        "Fine-tuning everything (full) equals scratch within the margin at every budget (10 to 100 labels).",
        "Fine-tuning everything (full@mean_var) gains on scratch at 10 labels (+2.0 points [2.0, 2.0]) and equals "
        "scratch within the margin at 25 labels and above.",
    ]


def test_the_gain_is_said_in_labels_and_bounds_are_bounds(said):
    first = said(TABLE)[0]
    # An error of 0.30 lies at a share log(.4/.3)/log(.4/.2) = 0.415 of the way from 25 to 100 labels.
    assert first.startswith(
        "In labels, judged by test error: 10 labels with full do the work of about 44 [44, 45] from scratch (4.4×)"
    )
    assert first.endswith("and 100 labels with full do the work of at least 100 from scratch.")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "about 30 [20, 80] from scratch (3.0×)"),
        ({"interval_censored": ("below", "above")}, "about 30 [≤ 20, ≥ 80] from scratch (3.0×)"),
        ({"interval": None, "interval_censored": (None, None)}, "about 30 from scratch (3.0×)"),
        ({"censored": "above", "interval_censored": (None, "above")}, "at least 30 [20, ≥ 80] from scratch."),
        ({"censored": "above", "interval_censored": ("above", "above")}, "at least 30 from scratch."),
    ],
)
def test_labels_have_their_interval_and_its_ends_may_be_bounds(in_memory, five_seeds, changes, told):
    comparison = in_memory({"scratch": {10: five_seeds(0.5)}, "full": {10: five_seeds(0.7)}})
    row = EffectiveData("full", 10, "error", 30.0, None, (20.0, 80.0), (None, None), 1.0, False)
    evidence = evidence_of(comparison, all_verdicts(comparison))
    assert told in findings(evidence, [replace(row, **changes)])[0]


def test_nothing_finished_finds_nothing(in_memory):
    comparison = in_memory({"scratch": {10: [0.5]}, "full": {25: [0.5]}})
    evidence = evidence_of(comparison, all_verdicts(comparison))
    assert findings(evidence, []) == []
    assert notes(evidence, 1000) == []


def noted(in_memory, seeds: int) -> str:
    cells = {10: [0.5 + 0.01 * s for s in range(seeds)]}
    comparison = in_memory({"scratch": cells, "full": cells})
    return " ".join(notes(evidence_of(comparison, all_verdicts(comparison)), comparison.test_examples))


def test_the_floor_of_the_exact_test_is_said_where_it_cannot_reach_five_percent(in_memory):
    text = noted(in_memory, 5)
    assert "With 5 seeds the exact sign-flip p cannot be smaller than 0.0625" in text
    assert "6 seeds are the fewest" in text
    assert "sign-flip" not in noted(in_memory, 6)


def test_notes_say_what_the_intervals_leave_out(in_memory):
    text = noted(in_memory, 5)
    assert "nor the drawing of the 1,000 test examples" in text
    assert "does not cover the pretraining" in text
    assert "0.10 points" in text
    assert "none corrected for the others" not in text


def test_notes_count_the_verdicts_that_are_not_corrected(in_memory):
    cells = {10: [0.5, 0.6], 25: [0.6, 0.7]}
    comparison = in_memory({"scratch": cells, "full": cells, "linear_probe": cells})
    text = notes(evidence_of(comparison, all_verdicts(comparison)), 1000)[-1]
    assert text.startswith("There are 4 verdicts against scratch, none corrected")


def test_notes_say_how_many_verdicts_holm_leaves(in_memory):
    even = [0.5 + 0.01 * step for step in range(5)]
    better = {"full": [0.1, 0.11, 0.09, 0.1, 0.1], "linear_probe": [0.0, 0.04, 0.02, 0.01, 0.03]}
    cells = {"scratch": {10: even}} | {
        arm: {10: [value + gain for value, gain in zip(even, gains, strict=True)]} for arm, gains in better.items()
    }
    comparison = in_memory(cells | {"last_blocks:1": {10: [value + 0.02 * (-1) ** i for i, value in enumerate(even)]}})
    text = notes(evidence_of(comparison, all_verdicts(comparison)), 1000)[-1]
    assert "Holm's method for the arms at the same label budget, 1 of the 2 that decide something stay" in text


def test_one_arm_needs_no_correction(in_memory, five_seeds):
    cells = {10: five_seeds(0.5), 25: five_seeds(0.6)}
    better = {b: [value + 0.1 for value in values] for b, values in cells.items()}
    comparison = in_memory({"scratch": cells, "full": better})
    assert "Holm" not in notes(evidence_of(comparison, all_verdicts(comparison)), 1000)[-1]


def test_notes_name_the_wider_intervals_of_two_looks(in_memory, five_seeds):
    comparison = in_memory({"scratch": {10: five_seeds(0.5)}, "full": {10: five_seeds(0.6)}})
    rule = {"first": 5, "most": 10, "confidence": 0.972}
    ruled = replace(comparison, declared={**comparison.declared, "seeds_rule": rule})
    assert "97.2 % intervals" in notes(evidence_of(ruled, all_verdicts(ruled)), 1000)[0]
    assert "97.2" not in notes(evidence_of(comparison, all_verdicts(comparison)), 1000)[0]


def test_equal_steps_are_said_to_favour_transfer(in_memory):
    text = parity(in_memory({"scratch": {10: [0.5]}, "full": {10: [0.6]}}))
    assert "for 200 steps of 32 examples" in text
    assert "scratch may catch up with more of them" in text
    assert "declared differences" not in text


def test_an_arm_whose_plateau_never_came_is_not_taken_for_what_its_name_says(in_memory):
    comparison = in_memory({"scratch": {10: [0.5, 0.5]}, "lp_ft": {10: [0.6, 0.6]}})
    summaries = iter([{"phases": [{}], "phases_planned": 2}, {"phases": [{}, {}], "phases_planned": 2}])
    runs = [replace(r, summary=next(summaries)) if r.key.arm == "lp_ft" else r for r in comparison.runs]
    assert "In 1 of 2 runs lp_ft never came to its last phase" in parity(replace(comparison, runs=tuple(runs)))
    assert "never came" not in parity(comparison)


def test_what_an_arm_was_declared_to_do_otherwise_is_said(in_memory):
    comparison = in_memory({"scratch": {10: [0.5]}, "linear_probe": {10: [0.6]}})
    diff = {"strategy": ("scratch", "linear_probe"), "optimizer.learning_rate": (0.003, 0.03)}
    arms = (comparison.arms[0], replace(comparison.arms[1], diff=diff))
    text = parity(replace(comparison, arms=arms))
    assert "(declared differences: linear_probe with optimizer.learning_rate = 0.03 in place of 0.003)" in text
