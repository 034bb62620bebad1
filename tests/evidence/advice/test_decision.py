"""The rule that chooses among arms and label budgets."""

import pytest

from tlj.evidence.advice.decision import allowed_by, rule, rule_at
from tlj.evidence.advice.question import Question

EVERYTHING = {"scratch": 4.0, "linear_probe": 1.0, "full": 4.0}


def anything(cell):
    return True


@pytest.fixture
def at(measure, five_seeds):
    """The ruling at one label budget of arms with these mean accuracies."""

    def at(means, milliseconds=EVERYTHING, fits=anything, spread=0.004, **facts):
        cells = {arm: {100: five_seeds(mean, spread)} for arm, mean in means.items()}
        return rule_at(measure(cells, milliseconds=milliseconds, **facts), 100, fits)

    return at


def test_of_what_helps_the_cheapest_within_the_margin_of_the_best_is_chosen(at):
    ruling = at({"scratch": 0.80, "linear_probe": 0.896, "full": 0.90})
    assert (ruling.decision, ruling.cell.arm.name, ruling.why) == ("transfer", "linear_probe", "helps")


def test_outside_the_margin_the_better_one_is_chosen_though_dearer(at):
    ruling = at({"scratch": 0.80, "linear_probe": 0.89, "full": 0.90})
    assert (ruling.decision, ruling.cell.arm.name) == ("transfer", "full")


def test_a_strategy_in_phases_is_a_hybrid(at):
    times = {"scratch": 4.0, "gradual:plateau": 2.0, "full": 4.0}
    ruling = at({"scratch": 0.80, "gradual:plateau": 0.90, "full": 0.85}, times)
    assert (ruling.decision, ruling.cell.arm.name) == ("hybrid", "gradual:plateau")


def test_where_transfer_hurts_scratch_is_chosen_though_dearer(at):
    ruling = at({"scratch": 0.90, "linear_probe": 0.80, "full": 0.85})
    assert (ruling.decision, ruling.cell.arm.name, ruling.why) == ("scratch", "scratch", "hurts")


def test_where_transfer_equals_scratch_and_is_no_cheaper_scratch_is_chosen(at):
    ruling = at({"scratch": 0.90, "full": 0.901})
    assert (ruling.decision, ruling.why) == ("scratch", "equal")


def test_where_transfer_equals_scratch_and_is_cheaper_it_is_chosen(at):
    ruling = at({"scratch": 0.90, "linear_probe": 0.901, "full": 0.80})
    assert (ruling.decision, ruling.cell.arm.name, ruling.why) == ("transfer", "linear_probe", "equal-cheaper")


def test_without_step_times_equal_means_scratch(at):
    assert at({"scratch": 0.90, "linear_probe": 0.901}, milliseconds=None).decision == "scratch"


def test_what_the_data_do_not_decide_is_undecided(measure):
    noisy = {"scratch": {100: [0.5, 0.6, 0.7]}, "full": {100: [0.7, 0.6, 0.6]}}
    ruling = rule_at(measure(noisy), 100, anything)
    assert (ruling.decision, ruling.cell.arm.name, ruling.why) == ("undecided", "full", "open")


def test_a_control_is_never_chosen(at):
    ruling = at({"scratch": 0.80, "full": 0.85, "full@mean_var": 0.95}, {**EVERYTHING, "full@mean_var": 1.0})
    assert ruling.cell.arm.name == "full"


def test_where_what_helps_is_not_allowed_scratch_is_the_only_choice(at):
    ruling = at({"scratch": 0.80, "full": 0.90}, fits=lambda cell: cell.arm.name == "scratch")
    assert (ruling.decision, ruling.why) == ("scratch", "only")
    assert at({"scratch": 0.80, "full": 0.90}, fits=lambda cell: False).cell is None


@pytest.fixture
def curve(measure, five_seeds, priced):
    """Two arms at three label budgets, asked with labels at a dollar each; a run of either takes 0.8 s."""
    means = {"scratch": {10: 0.5, 100: 0.8, 1000: 0.9}, "full": {10: 0.7, 100: 0.89, 1000: 0.9}}
    cells = {arm: {b: five_seeds(mean) for b, mean in row.items()} for arm, row in means.items()}

    def curve(**asked):
        question = Question(label_cost=1.0, **asked)
        measured = measure(cells, question, priced, {"scratch": 4.0, "full": 4.0}, margin=0.02)
        return measured, question

    return curve


def test_a_target_is_met_with_the_fewest_dollars(curve):
    ruling = rule(*curve(target=0.85))
    assert (ruling.decision, ruling.cell.arm.name, ruling.cell.budget) == ("transfer", "full", 100)
    assert ruling.cell.dollars == pytest.approx(100 + 5 * 0.8 * 0.01)


def test_a_budget_in_dollars_takes_no_more_labels_than_the_margin_is_worth(curve):
    # 1000 labels are better than 100 by a point, which is within the margin of two.
    assert rule(*curve(budget=2000.0)).cell.budget == 100
    assert rule(*curve(budget=50.0)).cell.budget == 10


def test_training_counts_against_the_budget(curve):
    measured, question = curve(budget=100.0)
    assert not any(allowed_by(measured, question)(cell) for cell in measured.at(100))
    assert rule(measured, question).cell.budget == 10


def test_a_target_beyond_everything_measured_has_no_cell(curve):
    ruling = rule(*curve(target=0.95))
    assert (ruling.decision, ruling.cell, ruling.why) == ("undecided", None, "nothing")


def test_asked_for_nothing_the_strongest_decision_at_the_most_labels_is_given(curve):
    measured, _ = curve()
    ruling = rule(measured, Question())
    assert (ruling.decision, ruling.cell.budget) == ("transfer", 100)


def test_more_seeds_of_scratch_do_not_make_transfer_the_cheaper(measure, five_seeds, priced):
    equal = {"scratch": {100: five_seeds(0.90) * 2}, "full": {100: five_seeds(0.901)}}
    ruling = rule_at(measure(equal, None, priced, {"scratch": 4.0, "full": 4.4}, margin=0.01), 100, anything)
    assert (ruling.decision, ruling.why) == ("scratch", "equal")
    ruling = rule_at(measure(equal, None, priced, {"scratch": 4.0, "full": 4.0}, margin=0.01), 100, anything)
    assert (ruling.decision, ruling.why) == ("scratch", "equal")


def test_what_is_not_timed_is_not_the_cheapest(ask, five_seeds, priced):
    helping = {"scratch": 0.80, "full": 0.898, "linear_probe": 0.90}
    cells = {arm: {100: five_seeds(mean)} for arm, mean in helping.items()}
    advice = ask(cells, priced, {"scratch": 4.0, "linear_probe": 1.0})
    assert advice["arm"] == "linear_probe"
    assert "the best of what helps; which of it is the cheapest cannot be told" in advice["text"]
