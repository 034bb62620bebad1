import pathlib

import pytest

from tlj.benchmark.step_time import WINDOWS, measure_step_times
from tlj.experiments.grid import make_grid
from tlj.training.programs import Programs, count_compilations
from tlj.training.setup import set_up


@pytest.fixture(scope="module")
def setups(tiny_config):
    runs = make_grid(tiny_config("w", arms=("scratch", "linear_probe@scratch"), label_budgets=(10,), seeds=(0,))).runs
    known = ({**run.config, "model": {**run.config["model"], "source": ""}} for run in runs)
    return {run.arm.name: set_up(config, pathlib.Path()) for run, config in zip(runs, known, strict=True)}


def test_every_arm_has_a_median_between_its_percentiles(setups):
    measured = measure_step_times(setups, Programs())
    assert set(measured["arms"]) == {"scratch", "linear_probe@scratch"}
    for row in measured["arms"].values():
        assert 0 < row["p5_s"] <= row["median_s"] <= row["p95_s"]
        assert (row["windows"], row["steps_per_window"]) == (WINDOWS, 20)


def test_arms_of_one_program_are_measured_once_and_nothing_is_compiled_for_the_second(setups):
    programs = Programs()
    measure_step_times({"scratch": setups["scratch"]}, programs)
    with count_compilations() as compiled:
        measured = measure_step_times({"a": setups["scratch"], "b": setups["scratch"]}, programs)
    assert not compiled
    assert measured["arms"]["a"] == measured["arms"]["b"]
