import re

import pytest

from tlj.config import ARRANGEMENT
from tlj.errors import InputError
from tlj.experiments.grid import make_grid


def test_every_arm_meets_every_budget_and_seed_once(tiny_config):
    grid = make_grid(tiny_config("w"))
    assert len(grid.runs) == 5 * 2 * 3
    assert len({run.folder for run in grid.runs}) == len(grid.runs)
    assert len({run.config_hash for run in grid.runs}) == len(grid.runs)


def test_runs_come_seed_by_seed_so_that_a_cut_comparison_has_whole_pairs(tiny_config):
    seeds = [run.seed for run in make_grid(tiny_config("w")).runs]
    assert seeds == sorted(seeds)


def test_all_means_the_whole_pool_and_budgets_ascend(tiny_config):
    assert make_grid(tiny_config("w", label_budgets=("all", 25))).budgets == (25, 538)


def test_a_budget_named_twice_is_refused(tiny_config):
    with pytest.raises(InputError, match=re.escape("two budgets are the same number: [538, 538]")):
        make_grid(tiny_config("w", label_budgets=(538, "all")))


def test_a_run_config_holds_nothing_of_the_arrangement(tiny_config):
    for run in make_grid(tiny_config("w")).runs:
        assert not set(run.config) & set(ARRANGEMENT)
        assert (run.config["strategy"], run.config["init"]) == (run.arm.strategy, run.arm.init)
        assert (run.config["seed"], run.config["label_budget"]) == (run.seed, run.budget)


def test_the_workdir_does_not_change_a_run(tiny_config):
    here, there = (make_grid(tiny_config(place)).runs[0].config_hash for place in ("here", "there"))
    assert here == there


def test_a_declared_difference_reaches_its_arm_and_no_other(tiny_config):
    # The twin may declare what is its own as well as an arm.
    grid = make_grid(tiny_config("w", declared={"linear_probe": {"optimizer": {"learning_rate": 0.5}}}))
    rates = {run.arm.name: run.config["optimizer"]["learning_rate"] for run in grid.runs}
    assert rates.pop("linear_probe") == 0.5
    assert set(rates.values()) == {0.001}
    assert grid.diffs["linear_probe"]["optimizer.learning_rate"] == [0.001, 0.5]


def test_the_source_trains_from_scratch_on_its_own_data(tiny_config):
    source = make_grid(tiny_config("w")).source
    assert (source["strategy"], source["init"], source["data"]["source"]) == ("scratch", "scratch", "digits:0-4")
    assert (source["steps"], source["model"]["source"]) == (30, "")
    assert make_grid(tiny_config("w")).runs[0].config["data"]["source"] == "digits:5-9"


def test_rules_are_for_the_arms_whose_strategy_they_are(tiny_config):
    rules = (("head/.*", "head"), (".*", "frozen"))
    grid = make_grid(tiny_config("unused", arms=("scratch", "full", "rules"), rules=rules))
    assert {run.arm.name: bool(run.config["rules"]) for run in grid.runs} == {
        "scratch": False,
        "full": False,
        "rules": True,
    }
    assert grid.source["rules"] == []
    with pytest.raises(InputError, match="no arm reads the rules"):
        make_grid(tiny_config("unused", rules=rules))


def test_settings_of_groups_are_for_the_arms_and_not_for_the_source(tiny_config):
    groups = {"head": {"learning_rate_factor": 10.0}}
    grid = make_grid(tiny_config("unused", groups=groups))
    assert {run.config["groups"]["head"]["learning_rate_factor"] for run in grid.runs} == {10.0}
    assert grid.source["groups"] == {}


@pytest.mark.parametrize("other", ["a-b=linear_probe", "A b=linear_probe"])
def test_two_arms_whose_runs_would_lie_in_one_folder_are_refused(tiny_config, other):
    message = f"config.arms[2]: the runs of {other.partition('=')[0]!r} and 'a b' would lie in one folder"
    with pytest.raises(InputError, match=re.escape(message)):
        make_grid(tiny_config("w", arms=("scratch", "a b=full", other)))
