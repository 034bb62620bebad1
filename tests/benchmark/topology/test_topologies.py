import json

import pytest

from tlj.benchmark import plan as plans
from tlj.benchmark.plan import format_plan, plan
from tlj.benchmark.topology import topologies
from tlj.benchmark.topology.slices import parse_slices
from tlj.errors import InputError


@pytest.fixture(scope="module")
def counted_once():
    """Counts every step once and not once per plan."""
    known, count = {}, plans.lowered_flops

    def counted(setup, phase):
        key = (setup.spec, setup.config["global_batch_size"], setup.settings, phase.structure)
        if key not in known:
            known[key] = count(setup, phase)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "lowered_flops", counted)
        patch.setattr(topologies, "lowered_flops", counted)
        yield


@pytest.fixture
def planned(tiny_config, program, monkeypatch, counted_once):
    """Plans a tiny comparison with a compiler that answers at once: ``planned("v5e:2x2", strategy="full")``."""
    asked = []

    class Stand:
        def __init__(self, base):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *why):
            pass

        def ask(self, slice_, config, phase):
            asked.append((slice_.name, config["global_batch_size"], config["parallel"]["fsdp"], phase))
            return program(config["global_batch_size"] // slice_.chips)

    monkeypatch.setattr(topologies, "Compiler", Stand)

    def make(names, **changes):
        asked.clear()
        config = tiny_config("w", **{"strategy": "full", "seeds": (0, 1), "global_batch_size": 64, **changes})
        return plan(config, parse_slices(names)), asked

    return make


def test_a_plan_counts_the_comparison_in_steps_of_what_was_compiled(planned):
    found, _ = planned("v5e:2x2", arms=("scratch", "linear_probe"))
    counted = {row["what"]: row for row in found["counted"]["comparison"]}
    assert list(counted) == ["pretraining", "scratch", "linear_probe"]
    # Two budgets and two seeds; a probe of this model costs a third of a step that trains everything.
    assert (counted["scratch"]["runs"], counted["scratch"]["reference_steps"]) == (4, pytest.approx(24))
    assert counted["linear_probe"]["reference_steps"] == pytest.approx(24 / 3, rel=0.2)
    assert (counted["pretraining"]["runs"], counted["pretraining"]["reference_steps"]) == (
        1,
        pytest.approx(30, rel=0.01),
    )
    (row,) = found["topologies"]
    total = sum(row["runs"] * row["reference_steps"] for row in counted.values())
    assert row["predicted_comparison"]["steps"] == pytest.approx(total)
    assert row["predicted_run"]["hours"] == pytest.approx(24 * row["predicted_step_s"] / 3600)
    assert "scaling" not in found


def test_a_plan_for_several_slices_is_json_and_every_figure_that_nobody_measured_is_called_predicted(planned):
    found, _ = planned("v5e:2x2,v5e:2x4", prices="configs/prices.toml", arms=("scratch", "full"))
    json.dumps(found, allow_nan=False)
    assert [row["name"] for row in found["topologies"]] == ["v5e:2x2", "v5e:2x4"]
    assert [row["batch_per_chip"] for row in found["topologies"]] == [16, 8]
    text = format_plan(found)
    for line in text.splitlines():
        if any(unit in line for unit in (" ms", "examples/s", "hours", "$")):
            assert "predicted" in line or line.startswith(("  v5e:2x2 ", "  v5e:2x4 ")), line
    assert "predicted efficiency" in text
    assert found["formula"] in text
    assert all(assumption in text for assumption in found["assumptions"])
    assert "at $1.20 a chip-hour (" in text
    assert found["not_counted"] in text


def test_a_plan_without_prices_says_so(planned):
    text = format_plan(planned("v5e:2x2", arms=("scratch", "full"))[0])
    assert "no price of this chip: name a file that has it in config.prices" in text
    assert "$" not in text.replace("price of a chip-hour", "")


def test_a_batch_per_device_and_a_sharding_are_those_of_the_slice_and_not_of_this_machine(planned):
    found, asked = planned("v5e:4x4", parallel={"batch_per_device": 8, "fsdp": 4}, arms=("scratch", "full"))
    assert asked[0] == ("v5e:4x4", 128, 4, 0)
    assert found["topologies"][0]["global_batch_size"] == 128


def test_phases_that_share_a_program_are_compiled_once_and_each_is_told(planned):
    found, asked = planned("v5e:2x2", strategy="lp_ft:10", arms=("scratch", "full"))
    assert {phase for *_, phase in asked} == {0, 1}
    (row,) = found["topologies"]
    assert [phase["phase"] for phase in row["phases"]] == [0, 1]
    assert "phase 1               fits, " in format_plan(found)


def test_what_does_not_fit_is_told_in_capitals_and_has_no_price(planned):
    found, _ = planned(
        "v5e:2x2", parallel={"batch_per_device": 400}, prices="configs/prices.toml", arms=("scratch", "full")
    )
    text = format_plan(found)
    assert "DOES NOT FIT: 40.06 GiB of 15.75 GiB that a program may have of 16" in text
    assert "largest batch         144 per chip fit" in text
    assert "predicted step " not in text.partition("what is predicted")[0]
    assert found["topologies"][0]["predicted_run"]["dollars"] is None


def test_a_batch_that_does_not_divide_is_refused(planned):
    with pytest.raises(InputError, match="a batch of 64 does not divide over the 128 chips of v5e:8x16"):
        planned("v5e:8x16", arms=("scratch", "full"))
