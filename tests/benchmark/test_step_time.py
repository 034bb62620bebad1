import numpy as np
import pytest

from tlj.benchmark import step_time
from tlj.benchmark.step_time import WINDOWS, is_measured, mean_phase_steps, measure_step_times, spread
from tlj.benchmark.windows import Windows
from tlj.training.programs import Programs, count_compilations


@pytest.fixture(scope="module")
def setups(one_run):
    return {strategy: one_run(strategy=strategy) for strategy in ("scratch", "linear_probe", "lp_ft:10")}


STEPS = {"scratch": [24], "linear_probe": [24], "lp_ft:10": [10, 14]}


@pytest.fixture(scope="module")
def measured(setups):
    return measure_step_times(setups, Programs(), STEPS)


@pytest.fixture
def told(monkeypatch):
    """Puts the seconds of each program in the place of those that a clock would give: by phases that train less."""

    def tell(*seconds):
        def take_turns(steppers, windows):
            assert len(steppers) == len(seconds)
            return [Windows(np.array(row), 20) for row in seconds]

        monkeypatch.setattr(step_time, "take_turns", take_turns)

    return tell


def test_every_arm_has_a_median_between_its_percentiles(measured):
    assert set(measured["arms"]) == set(STEPS)
    for row in measured["arms"].values():
        assert 0 < row["p5_s"] <= row["median_s"] <= row["p95_s"]
        assert (row["windows"], row["steps_per_window"]) == (WINDOWS, 20)


def test_a_program_that_several_arms_and_phases_run_is_measured_once(measured):
    arms = measured["arms"]
    probe, everything = arms["lp_ft:10"]["phases"]
    assert probe == {**{name: arms["linear_probe"][name] for name in ("median_s", "p5_s", "p95_s")}, "steps": 10}
    assert everything == {**{name: arms["scratch"][name] for name in ("median_s", "p5_s", "p95_s")}, "steps": 14}


def test_an_arm_takes_the_mean_over_its_phases_by_their_steps(setups, told):
    told([1.0, 1.0, 4.0], [5.0, 5.0, 8.0])
    arm = measure_step_times({"a": setups["lp_ft:10"]}, Programs(), {"a": [6.0, 18.0]})["arms"]["a"]
    assert [phase["median_s"] for phase in arm["phases"]] == [1.0, 5.0]
    # Rounds of (6 * 1 + 18 * 5) / 24 = 4 twice, and one of 7.
    assert arm["median_s"] == pytest.approx(4.0)
    assert arm["p95_s"] == pytest.approx(6.7)


def test_a_phase_that_no_run_reached_is_neither_compiled_nor_counted(setups, told):
    told([1.0, 2.0, 3.0])
    with count_compilations() as compiled:
        row = measure_step_times({"a": setups["lp_ft:10"]}, Programs(), {"a": [24.0, 0.0]})["arms"]["a"]
    assert compiled["train_step"] == 1
    assert row["median_s"] == 2.0
    assert row["phases"][1] == {"steps": 0.0, "median_s": None, "p5_s": None, "p95_s": None}


def test_nothing_is_compiled_for_programs_that_are_there(setups):
    programs = Programs()
    measure_step_times({"scratch": setups["scratch"]}, programs, STEPS)
    with count_compilations() as compiled:
        measured = measure_step_times({"a": setups["scratch"], "b": setups["scratch"]}, programs, {"a": [1], "b": [2]})
    assert not compiled
    assert measured["arms"]["a"]["median_s"] == measured["arms"]["b"]["median_s"]


def test_steps_in_a_phase_are_the_mean_over_the_runs_and_zero_where_it_never_began():
    summaries = [{"phases": [{"start": 0, "steps": 24}]}, {"phases": [{"steps": 10}, {"start": 10, "steps": 14}]}]
    assert mean_phase_steps(summaries, 3) == [17.0, 7.0, 0.0]


def test_what_was_measured_stands_until_the_arms_or_their_phases_or_the_model_are_others(setups, measured, one_run):
    assert is_measured(measured, setups, STEPS)
    assert is_measured(measured, {"scratch": setups["scratch"]}, STEPS)
    assert not is_measured({}, setups, STEPS)
    assert not is_measured(measured, {**setups, "new": setups["scratch"]}, {**STEPS, "new": [24]})
    assert not is_measured(measured, setups, {**STEPS, "lp_ft:10": [12, 12]})
    assert not is_measured(measured, {"scratch": one_run(strategy="scratch", global_batch_size=8)}, STEPS)


def test_a_spread_is_the_median_and_the_percentiles():
    assert spread(np.arange(101.0)) == {"median_s": 50.0, "p5_s": 5.0, "p95_s": 95.0}
