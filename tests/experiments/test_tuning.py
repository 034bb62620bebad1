import json
import re

import pytest

from tlj.errors import InputError, RunError
from tlj.experiments.grid import make_grid
from tlj.experiments.tuning import check_tuning, first_trials, tune

SPACE = {"tuning.space.optimizer.learning_rate": "1e-4 to 1e-2"}


def for_scratch(**space):
    """A declared range of the twin's own."""
    return {"scratch": {"tuning": {"space": {"optimizer": space}}}}


@pytest.fixture
def tuned(tiny_config):
    def make(**changes):
        base = {"arms": ("scratch", "linear_probe"), "label_budgets": (20, 60), "tuning.trials": 3, **SPACE}
        return tiny_config("w", **{**base, **changes})

    return make


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning.trials": 0}, "ranges, but no trials"),
        ({"tuning.seeds": (2, 70)}, "seed 2 is of the final runs, too"),
        ({"tuning.seeds": (4,), "most_seeds": 5}, "seed 4 is of the final runs, too"),
        ({"tuning.metric": "validation_accurcy"}, "did you mean 'validation_accuracy'?"),
        ({"tuning.space.steps": "10 to 20"}, "'steps' is what a pair has in common"),
        ({"tuning.space.optimizer.learning_rate": "-1 to 1 linear"}, "-1.0 is not a number above 0"),
        (
            {"tuning.search": "grid", "declared": for_scratch(name=["sgd", "adamw", "lion"])},
            "a grid over 2 keys has no room in 3 trials",
        ),
        (
            {"tuning.search": "grid", "tuning.trials": 4, "declared": for_scratch(learning_rate=[1e-3, 1e-2])},
            "arms would have different numbers of trials: scratch 2, linear_probe 4",
        ),
    ],
)
def test_a_search_that_is_not_the_same_for_every_arm_is_refused(tuned, changes, message):
    config = tuned(**changes)
    with pytest.raises(InputError, match=re.escape(message)):
        check_tuning(config, make_grid(config))


def test_an_arm_without_a_range_is_refused(tiny_config):
    declared = {"scratch": {"tuning": {"space": {"optimizer": {"learning_rate": "1e-4 to 1e-2"}}}}}
    config = tiny_config("w", **{"arms": ("scratch", "full"), "tuning.trials": 2, "declared": declared})
    with pytest.raises(InputError, match=re.escape("no range to draw from (arm 'full')")):
        check_tuning(config, make_grid(config))


def test_every_arm_has_as_many_trials_on_seeds_of_their_own_and_none_opens_a_test(tuned):
    config = tuned(**{"tuning.seeds": (70, 71)})
    trials = first_trials(config, make_grid(config))
    cells = {(trial.arm, trial.budget) for trial in trials}
    assert cells == {(arm, budget) for arm in ("scratch", "linear_probe") for budget in (20, 60)}
    assert len(trials) == 3 * len(cells)
    assert {run.seed for trial in trials for run in trial.runs} == {70, 71}
    assert not any(run.config["evaluate"]["test"] for trial in trials for run in trial.runs)
    assert len({run.folder for trial in trials for run in trial.runs}) == 2 * len(trials)
    rates = {trial.arm: [t.values for t in trials if (t.arm, t.budget) == (trial.arm, 20)] for trial in trials}
    assert rates["scratch"] == rates["linear_probe"]
    run = trials[0].runs[0]
    assert run.config["optimizer"]["learning_rate"] == trials[0].values["optimizer.learning_rate"]


def test_an_arms_own_range_is_a_declared_difference_and_is_told(tuned):
    declared = {"linear_probe": {"tuning": {"space": {"optimizer": {"learning_rate": "1e-3 to 1"}}}}}
    grid = make_grid(tuned(declared=declared))
    assert grid.diffs["linear_probe"]["tuning.space.optimizer.learning_rate"] == [
        "0.0001 to 0.01 log",
        "0.001 to 1 log",
    ]


def test_the_largest_budget_may_be_tuned_for_all(tuned, tmp_path):
    config = tuned(**{"tuning.budgets": "largest"})
    _, chosen = tune(config, make_grid(config), tmp_path, results_of(tmp_path, lambda trial: trial.number))
    assert {budget for _, budget in chosen} == {20, 60}
    assert chosen["scratch", 20] == chosen["scratch", 60]


def test_one_budget_for_all_is_one_that_every_arm_has(tuned, tmp_path):
    config = tuned(**{"tuning.budgets": "largest", "declared": {"scratch": {"label_budgets": (20, 60, 80)}}})
    trials, chosen = tune(config, make_grid(config), tmp_path, results_of(tmp_path, lambda trial: trial.number))
    assert {trial.budget for trial in trials} == {60}
    assert chosen["scratch", 80] == chosen["scratch", 60]
    config = tuned(**{"tuning.budgets": "largest", "declared": {"scratch": {"label_budgets": (30, 80)}}})
    with pytest.raises(InputError, match="no label budget is every arm's"):
        check_tuning(config, make_grid(config))


def results_of(workdir, loss, rounds=None):
    """Stands in for training: every trial's loss is a function of it."""

    def train(runs, trials):
        if rounds is not None:
            rounds.append(len(trials))
        for trial in trials:
            for run in trial.runs:
                (workdir / run.folder).mkdir(parents=True, exist_ok=True)
                value = loss(trial)
                name, content = ("summary.json", {"metrics": {"validation_loss": value}}) if value is not None else (
                    "failed.json", {"attempts": 2, "error": "NaN"})  # fmt: skip
                (workdir / run.folder / name).write_text(json.dumps(content))
        return True

    return train


def test_the_best_by_validation_is_chosen_cell_by_cell(tuned, tmp_path):
    config = tuned()
    grid = make_grid(config)
    trials, chosen = tune(
        config, grid, tmp_path, results_of(tmp_path, lambda t: abs(t.number - (1 if t.arm == "scratch" else 2)))
    )
    by_number = {(t.arm, t.budget, t.number): t.values for t in trials}
    assert chosen["scratch", 20] == by_number["scratch", 20, 1]
    assert chosen["linear_probe", 60] == by_number["linear_probe", 60, 2]
    tuned_grid = make_grid(config, chosen)
    rates = {run.config["optimizer"]["learning_rate"] for run in tuned_grid.runs if run.arm.name == "scratch"}
    assert rates == {chosen["scratch", 20]["optimizer.learning_rate"]}


def test_an_edge_extends_the_range_of_every_arm_with_as_many_trials(tuned, tmp_path):
    config, rounds = tuned(**{"tuning.trials": 6, "tuning.extend": 1, "label_budgets": (20,)}), []
    # The twin is best at its lowest rate, the probe in the middle of its range.
    middle = 1e-3

    def loss(trial):
        rate = trial.values["optimizer.learning_rate"]
        return rate if trial.arm == "scratch" else abs(rate - middle)

    trials, chosen = tune(config, make_grid(config), tmp_path, results_of(tmp_path, loss, rounds))
    assert rounds == [12, 18]
    for arm in ("scratch", "linear_probe"):
        new = [t for t in trials if t.arm == arm and t.number >= 6]
        assert [t.number for t in new] == [6, 7, 8]
        assert all(t.values["optimizer.learning_rate"] < 1e-4 for t in new)
    assert chosen["scratch", 20]["optimizer.learning_rate"] < 1e-4


def test_without_an_edge_nothing_is_extended(tuned, tmp_path):
    config, rounds = tuned(**{"tuning.trials": 6, "tuning.extend": 3}), []
    tune(config, make_grid(config), tmp_path, results_of(
        tmp_path, lambda t: abs(t.values["optimizer.learning_rate"] - 1e-3), rounds))  # fmt: skip
    assert rounds == [24]


def test_a_failed_trial_is_not_chosen_and_a_cell_of_failures_is_told(tuned, tmp_path):
    config = tuned()
    train = results_of(tmp_path / "a", lambda t: None if t.number == 0 else 5 - t.number)
    _, chosen = tune(config, make_grid(config), tmp_path / "a", train)
    trials = first_trials(config, make_grid(config))
    assert chosen["scratch", 20] == next(t.values for t in trials if (t.arm, t.budget, t.number) == ("scratch", 20, 2))
    with pytest.raises(RunError, match="no trial of scratch at 20 labels has a validation_loss"):
        tune(config, make_grid(config), tmp_path / "b", results_of(tmp_path / "b", lambda t: None))
