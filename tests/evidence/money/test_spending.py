"""Accelerator-seconds with their tuning trials, and what they cost."""

import json

import pytest

from tlj.evidence.money.cost import cost
from tlj.evidence.money.prices import Accelerator, Quote
from tlj.evidence.money.spending import Rates, finished_trials, price, spent_by_cell
from tlj.evidence.runs import read_comparison


@pytest.fixture(scope="module")
def tuned(make_comparison, tmp_path_factory):
    """A comparison of 2 x 2 cells and 2 seeds; full had three trials at 25 labels, one of them unfinished."""
    directory = make_comparison(
        tmp_path_factory.mktemp("tuned"), arms=("scratch", "full"), budgets=(10, 25), seeds=(0, 1)
    )
    declared = json.loads((directory / "comparison.json").read_text())
    rows = [{"arm": "full", "budget": 25, "trial": i, "seed": 1000, "path": f"tuning/full/25/{i}"} for i in range(3)]
    rows.append({"arm": "full", "budget": 25, "trial": 3, "seed": 1000, "path": "../elsewhere"})
    for row, steps in zip(rows, (100, 50), strict=False):
        (directory / row["path"]).mkdir(parents=True)
        (directory / row["path"] / "summary.json").write_text(json.dumps({"steps": steps}))
    (directory / "comparison.json").write_text(json.dumps({**declared, "tuning": {"trials": rows}}))
    return read_comparison(directory)


def test_finished_trials_are_counted_and_a_path_that_leaves_the_comparison_is_not(tuned):
    trials, declared = finished_trials(tuned)
    assert ([trial.steps for trial in trials], declared) == ([100, 50], 4)


def test_trials_count_in_the_cell_they_tuned_and_where_nothing_else_was_tuned(tuned):
    cells = {(cell.arm, cell.budget): cell for cell in spent_by_cell(tuned, finished_trials(tuned)[0])}
    for budget in (10, 25):
        assert cells["full", budget].seconds_of_runs == pytest.approx(0.004 * 200 * 2)
        assert cells["full", budget].seconds_of_trials == pytest.approx(0.004 * 150)
        assert cells["scratch", budget].seconds == pytest.approx(0.004 * 200 * 2)


def test_tuning_is_in_the_hours_and_dollars_of_an_arm_but_not_in_its_runs(tuned, prices):
    found = cost(tuned, prices)
    full = next(row for row in found["arms"] if row["arm"] == "full")
    assert full["accelerator_seconds_grid"] == pytest.approx(0.004 * 200 * 4)
    assert (full["tuning_trials"], full["accelerator_seconds_tuning"]) == (2, pytest.approx(0.6))
    assert full["dollars"] == pytest.approx(3.2 + 0.6)
    assert found["tuning_trials"] == {"finished": 2, "declared": 4}
    assert found["dollars"] == pytest.approx(3.2 + 3.8)
    assert found["accelerator_hours"] == pytest.approx(7.0 / 3600)


def test_dollars_energy_and_carbon_follow_the_formulas(prices):
    # Two hours of one chip: 7200 dollars at 3600 an hour; 200 W x 2 h x 1.5 = 0.6 kWh; at 400 g that is 0.24 kg.
    rates = Rates("cpu", prices.accelerator("cpu"), 1.5, 400.0, 0.0)
    assert price(7200.0, rates) == {
        "dollars": pytest.approx(7200),
        "spot_dollars": pytest.approx(7200 * 0.25 * 1.2),
        "kwh": pytest.approx(0.6),
        "kg_co2e_location": pytest.approx(0.24),
        "kg_co2e_market": 0.0,
    }


def test_a_chip_whose_cores_are_devices_is_paid_once():
    # A v3-8 slice is 8 devices and 4 chips: an hour of it is 8 device-hours and 4 x 2.00 dollars.
    quotes = {"dollars_per_chip_hour": Quote(2.0), "devices_per_chip": Quote(2.0)}
    rates = Rates("TPU v3", Accelerator("TPU v3", ("TPU v3",), quotes))
    assert price(8 * 3600.0, rates)["dollars"] == pytest.approx(8.0)


def test_what_is_not_quoted_is_none(tuned, prices):
    assert set(price(10.0, Rates("TPU v9")).values()) == {None}
    assert set(price(None, Rates("cpu", prices.accelerator("cpu"), 1.5)).values()) == {None}
    without_pue = price(10.0, Rates("cpu", prices.accelerator("cpu")))
    assert without_pue["dollars"] is not None
    assert without_pue["kwh"] is without_pue["kg_co2e_location"] is None
    found = cost(tuned)
    assert found["dollars"] is found["kwh"] is found["prices"] is None
    assert found["totals"] == found["label_value"] == found["assumptions"] == []


def test_runs_that_took_other_numbers_of_steps_cost_what_they_took(make_comparison, tmp_path):
    directory = make_comparison(tmp_path / "c", arms=("scratch", "full"), budgets=(10,), seeds=(0, 1))
    path = directory / "runs/full/10/1/summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": 400}))
    cells = {cell.arm: cell for cell in spent_by_cell(read_comparison(directory), ())}
    assert cells["full"].per_run == pytest.approx(0.004 * 300)
    assert cells["scratch"].per_run == pytest.approx(0.004 * 200)
