import json

import pytest

from tlj.experiments.grid import make_grid
from tlj.experiments.parities import plan_parity, steps_for_flops, steps_for_seconds


def summary(*phases, stopped=None):
    """Phases as (steps, FLOPs per step)."""
    rows, start = [], 0
    for steps, flops in phases:
        rows.append({"start": start, "steps": steps, "flops_per_step": float(flops)})
        start += steps
    total = sum(steps * flops for steps, flops in phases)
    return {"steps": start, "stopped_at": stopped, "phases": rows, "flops": {"training_total": float(total)}}


def test_a_cheap_step_gets_as_many_more_steps():
    assert steps_for_flops(summary((100, 2)), summary((100, 6))) == 300


def test_the_last_phase_grows_and_the_others_stay():
    # 40 steps at 2 and 60 at 6 are 440 of 600: the last phase gets 160 / 6 more.
    assert steps_for_flops(summary((40, 2), (60, 6)), summary((100, 6))) == 40 + round((600 - 80) / 6)


def test_a_dear_first_phase_may_be_all_there_is():
    assert steps_for_flops(summary((50, 10), (50, 1)), summary((100, 2))) == 20


def test_equal_flops_are_equal_steps():
    assert steps_for_flops(summary((100, 6)), summary((100, 6))) == 100


def test_seconds_are_steps_times_their_measured_time():
    assert steps_for_seconds(summary((100, 2)), 0.01, summary((100, 6)), 0.025) == 250


def test_times_that_differ_by_no_more_than_a_measurement_does_keep_the_steps():
    assert steps_for_seconds(summary((100, 6)), 0.0103, summary((100, 6)), 0.0105) == 100


@pytest.fixture
def measured(tiny_config, tmp_path):
    config = tiny_config("w", arms=("scratch", "linear_probe", "full"), label_budgets=(10,), seeds=(0, 1))
    grid = make_grid(config)
    flops = {"scratch": 6, "linear_probe": 2, "full": 6}
    for run in grid.runs:
        (tmp_path / run.folder).mkdir(parents=True)
        (tmp_path / run.folder / "summary.json").write_text(json.dumps(summary((24, flops[run.arm.name]))))
    return config, grid, tmp_path


def test_every_run_gets_one_of_equal_flops_and_shares_it_where_its_steps_are_the_same(measured):
    config, grid, workdir = measured
    runs = plan_parity("flops", config, grid, workdir, None)
    assert [(run.arm.name, run.seed, run.config["steps"]) for run in runs] == [
        (run.arm.name, run.seed, 72 if run.arm.name == "linear_probe" else 24) for run in grid.runs
    ]
    known = {run.folder for run in grid.runs}
    assert {run.arm.name for run in runs if run.folder not in known} == {"linear_probe"}
    new = next(run for run in runs if run.folder not in known)
    assert str(new.folder) == "parity/flops/linear_probe/10/0"
    assert new.config["optimizer"] == next(r for r in grid.runs if r.arm == new.arm).config["optimizer"]


def test_what_a_search_chose_holds_in_every_parity(measured):
    config, grid, workdir = measured
    runs = plan_parity("flops", config, grid, workdir, {("linear_probe", 10): {"optimizer.learning_rate": 0.5}})
    assert {run.config["optimizer"]["learning_rate"] for run in runs if run.arm.name == "linear_probe"} == {0.5}


def test_the_steps_of_equal_seconds_are_settled_once(measured):
    config, grid, workdir = measured

    def times(**seconds):
        arms = {arm: {"median_s": s} for arm, s in seconds.items()}
        (workdir / "step_time.json").write_text(json.dumps({"arms": arms}))

    times(scratch=0.03, linear_probe=0.01, full=0.03)
    first = plan_parity("seconds", config, grid, workdir, None)
    assert {run.config["steps"] for run in first if run.arm.name == "linear_probe"} == {72}
    times(scratch=0.03, linear_probe=0.02, full=0.03)
    again = plan_parity("seconds", config, grid, workdir, None)
    assert [run.config_hash for run in again] == [run.config_hash for run in first]


def test_an_arm_without_a_finished_run_waits(measured):
    config, grid, workdir = measured
    for run in grid.runs:
        if run.arm.name == "linear_probe":
            (workdir / run.folder / "summary.json").unlink()
    assert {run.arm.name for run in plan_parity("flops", config, grid, workdir, None)} == {"scratch", "full"}


def test_a_run_that_stopped_early_where_it_should_is_the_one_that_is_there():
    stopped = {**summary((30, 6), stopped=30), "steps": 100}
    assert steps_for_flops(stopped, stopped) == 100
    assert steps_for_seconds(stopped, 0.03, stopped, 0.03) == 100
    assert steps_for_flops({**summary((30, 2), stopped=30), "steps": 100}, stopped) == 90


def test_a_cell_whose_first_seed_failed_goes_by_the_next(measured):
    config, grid, workdir = measured
    failed = next(run for run in grid.runs if (run.arm.name, run.seed) == ("linear_probe", 0))
    (workdir / failed.folder / "summary.json").unlink()
    runs = plan_parity("flops", config, grid, workdir, None)
    assert {run.config["steps"] for run in runs if run.arm.name == "linear_probe"} == {72}


def test_an_arm_whose_twin_has_failed_everywhere_has_no_parity(measured):
    config, grid, workdir = measured
    for run in grid.runs:
        if run.arm.name == "scratch":
            (workdir / run.folder / "summary.json").unlink()
    assert plan_parity("flops", config, grid, workdir, None) == ()
