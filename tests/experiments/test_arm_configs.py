import pytest

from tlj.errors import InputError
from tlj.experiments.arm_configs import arm_config, declared_of, source_config
from tlj.experiments.arms import parse_arm
from tlj.experiments.grid import make_grid

DEEP = {"deep": {"model": {"settings": {"head_layers": (8,)}}}}


def test_an_arm_may_have_label_budgets_of_its_own(tiny_config):
    config = tiny_config(
        "w", arms=("scratch", "full"), label_budgets=(10, 40), declared={"full": {"label_budgets": (80,)}}
    )
    grid = make_grid(config)
    assert grid.budgets == (10, 40, 80)
    assert {(run.arm.name, run.budget) for run in grid.runs} == {("scratch", 10), ("scratch", 40), ("full", 80)}
    assert grid.diffs["full"].keys() == {"strategy", "init"}


def test_a_head_of_several_layers_is_the_one_thing_of_a_model_that_may_be_declared(tiny_config):
    config = tiny_config("w", arms=("scratch", "deep=full"), declared=DEEP)
    grid = make_grid(config)
    assert grid.diffs["deep"]["model.settings.head_layers"] == [None, [8]]
    wider = {"deep": {"model": {"settings": {"width": 32}}}}
    with pytest.raises(InputError, match="'model.settings.width' is shared by all arms"):
        declared_of(tiny_config("w", arms=("scratch", "deep=full"), declared=wider), parse_arm("deep=full"))


@pytest.mark.parametrize("key", ["evaluate.shifts", "data.test", "dtype", "task", "evaluate.test"])
def test_what_all_runs_are_judged_on_is_shared(tiny_config, key):
    value = {"evaluate.shifts": ("a=digits",), "dtype": "bfloat16", "task": "binary", "evaluate.test": False}
    config = tiny_config("w", declared={"full": {key: value.get(key, "x")}})
    with pytest.raises(InputError, match="is shared by all arms"):
        declared_of(config, parse_arm("full"))


@pytest.mark.parametrize("key", ["tuning.trials", "seeds", "parities", "exit.hours", "metric"])
def test_what_lays_the_comparison_out_is_not_an_arms_own(tiny_config, key):
    value = {"tuning.trials": 3, "seeds": (1,), "parities": ("flops",), "exit.hours": 1.0, "metric": "nll"}[key]
    with pytest.raises(InputError, match="is laid out by the comparison"):
        declared_of(tiny_config("w", declared={"full": {key: value}}), parse_arm("full"))


def test_the_best_stopping_point_keeps_and_tests_a_checkpoint_but_in_no_trial(tiny_config):
    config = tiny_config("w", parities=("steps", "best"))
    run = arm_config(config, parse_arm("full"), "hash")
    assert (run["evaluate"]["best"], run["checkpoint"]["best"]) == (True, 1)
    own = tiny_config("w", parities=("steps", "best"), declared={"full": {"checkpoint": {"best": 3}}})
    assert arm_config(own, parse_arm("full"), "hash")["checkpoint"]["best"] == 3
    trial = arm_config(config, parse_arm("full"), "hash", is_trial=True)
    assert (trial["evaluate"]["best"], trial["checkpoint"]["best"]) == (False, 0)
    assert arm_config(tiny_config("w"), parse_arm("full"), "hash")["checkpoint"]["best"] == 0


def test_changes_are_over_all_else(tiny_config):
    config = tiny_config("w", declared={"full": {"optimizer": {"learning_rate": 0.5}}})
    run = arm_config(config, parse_arm("full"), "hash", {"optimizer.learning_rate": 0.25, "steps": 7})
    assert (run["optimizer"]["learning_rate"], run["steps"], run["model"]["source_hash"]) == (0.25, 7, "hash")


def test_the_source_is_tested_on_nothing_of_the_arms(tiny_config):
    config = tiny_config("w", **{"evaluate.shifts": ("other=digits:5-9",)})
    assert source_config(config)["evaluate"]["shifts"] == []
