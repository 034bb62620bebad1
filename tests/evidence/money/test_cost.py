"""What each arm costs."""

import json

import pytest

from tlj.evidence.money.cost import cost, timing
from tlj.evidence.runs import read_comparison


@pytest.fixture(scope="module")
def rows(comparison_directory):
    return {row["arm"]: row for row in cost(read_comparison(comparison_directory))["arms"]}


def test_parameters_and_flops_are_those_of_the_runs(rows):
    probe = rows["linear_probe"]
    assert (probe["trained_parameters"], probe["total_parameters"]) == (165, 40_000)
    assert probe["flops_per_step"] == pytest.approx(0.34 * 6e9)
    assert probe["training_flops_per_run"] == pytest.approx(0.34 * 1.2e12)
    assert probe["training_flops_grid"] == pytest.approx(30 * 0.34 * 1.2e12)


def test_relative_time_stands_beside_relative_flops(rows):
    # The probe's step takes 2.02 ms of the full step's 4 ms, though its FLOPs are 0.34 of it.
    assert rows["linear_probe"]["relative_flops"] == 0.34
    assert rows["linear_probe"]["relative_time"] == pytest.approx(0.505)
    assert (rows["full"]["relative_flops"], rows["full"]["relative_time"]) == (1.0, 1.0)


def test_accelerator_seconds_are_step_time_times_steps_times_devices(rows, make_comparison, tmp_path):
    assert rows["full"]["accelerator_seconds_per_run"] == pytest.approx(0.004 * 200)
    assert rows["full"]["accelerator_seconds_grid"] == pytest.approx(0.004 * 200 * 30)
    directory = make_comparison(tmp_path / "c", budgets=(10,), seeds=(0,))
    times = json.loads((directory / "step_time.json").read_text()) | {"devices": 4}
    (directory / "step_time.json").write_text(json.dumps(times))
    result = cost(read_comparison(directory))
    assert result["arms"][0]["accelerator_seconds_per_run"] == pytest.approx(0.004 * 200 * 4)
    assert result["accelerator_seconds_grid"] == sum(row["accelerator_seconds_grid"] for row in result["arms"])


def test_step_time_has_its_spread(rows):
    assert rows["full"]["step_s"] == {"median": 0.004, "p5": pytest.approx(0.0036), "p95": pytest.approx(0.0048)}


def test_the_reference_trains_everything(comparison_directory, make_comparison, tmp_path):
    assert cost(read_comparison(comparison_directory))["reference"] == "scratch"
    directory = make_comparison(tmp_path / "c", arms=("linear_probe", "full"), budgets=(10,), seeds=(0,))
    assert cost(read_comparison(directory))["reference"] == "full"


def test_without_step_times_what_hangs_on_them_is_none(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", budgets=(10,), seeds=(0,), step_time=False)
    result = cost(read_comparison(directory))
    assert (result["device"], result["devices"], result["accelerator_seconds_grid"]) == (None, None, None)
    for row in result["arms"]:
        assert row["step_s"] is row["relative_time"] is row["accelerator_seconds_per_run"] is None
        assert row["relative_flops"] is not None


def test_an_arm_without_a_run_costs_nothing_yet(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", seeds=(0,), unfinished=lambda arm, *key: arm == "full")
    row = next(row for row in cost(read_comparison(directory))["arms"] if row["arm"] == "full")
    assert (row["runs"], row["trained_parameters"], row["accelerator_seconds_grid"]) == (0, None, None)


def test_relative_flops_are_those_of_the_step_against_full_training(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", arms=("scratch", "linear_probe"), budgets=(10,), seeds=(0,))
    assert cost(read_comparison(directory))["arms"][1]["relative_flops"] == pytest.approx(0.34)


def test_timing_is_summed_over_the_runs_of_an_arm(comparison_directory):
    totals = timing(read_comparison(comparison_directory))["runs_by_arm"]
    assert totals["full"]["wall_s"] == pytest.approx(1.5 * 30)
    assert totals["full"]["train_s"] == pytest.approx(6 * (1.0 + 1.1 + 1.2 + 1.3 + 1.4))
