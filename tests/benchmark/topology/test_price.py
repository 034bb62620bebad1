import pytest

from tlj import config as configuration
from tlj.benchmark.topology.price import hours_and_dollars
from tlj.errors import InputError

COUNTED = {
    "run": [{"runs": 1, "trials": 0, "reference_steps": 900.0}],
    "comparison": [
        {"runs": 10, "trials": 0, "reference_steps": 900.0},
        {"runs": 10, "trials": 5, "reference_steps": 300.0},
    ],
}
ROW = {"device_kind": "TPU v5 lite", "predicted_step_s": 0.5, "chips": 16}


def config(**changes):
    return configuration.merge(configuration.default(), changes)


def test_hours_are_steps_times_step_time_and_chip_hours_those_of_all_chips():
    found = hours_and_dollars(config(), ROW, COUNTED)
    assert found["predicted_run"] == {
        "steps": 900.0, "hours": pytest.approx(0.125), "chip_hours": pytest.approx(2.0), "dollars": None,
    }  # fmt: skip
    # 10 runs of 900 steps, and 15 runs and trials worth 300 each.
    assert found["predicted_comparison"]["steps"] == 13_500
    assert found["predicted_comparison"]["chip_hours"] == pytest.approx(13_500 * 0.5 * 16 / 3600)
    assert found["price"] is None


def test_dollars_are_those_of_the_dated_file_for_this_chip(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text(
        '[[accelerators]]\nname = "v5e"\nkinds = ["TPU v5 lite"]\n'
        'dollars_per_chip_hour = {value = 1.5, source = "a list", date = 2026-01-31}\n'
    )
    found = hours_and_dollars(config(prices=str(file)), ROW, COUNTED)
    assert found["predicted_run"]["dollars"] == pytest.approx(3.0)
    assert found["price"] | {"file": ""} == {
        "dollars_per_chip_hour": 1.5, "source": "a list", "date": "2026-01-31", "assumed": False, "file": "",
    }  # fmt: skip
    other = hours_and_dollars(config(prices=str(file)), {**ROW, "device_kind": "TPU v4"}, COUNTED)
    assert (other["price"], other["predicted_run"]["dollars"]) == (None, None)


def test_what_does_not_fit_takes_no_hours():
    found = hours_and_dollars(config(), {**ROW, "predicted_step_s": None}, COUNTED)
    assert found["predicted_run"] == {"steps": 900.0, "hours": None, "chip_hours": None, "dollars": None}


def test_a_file_of_prices_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        hours_and_dollars(config(prices=str(tmp_path / "none.toml")), ROW, COUNTED)
