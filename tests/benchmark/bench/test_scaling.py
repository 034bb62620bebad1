"""Growing numbers of devices: what each process is told, what is refused, and two real ones on a CPU."""

import json

import pytest

from tlj import config as configuration
from tlj.benchmark.bench import scaling
from tlj.benchmark.bench.one_count import answer
from tlj.benchmark.bench.scaling import batch_per_device, bench_scaling, environment_for, with_efficiency
from tlj.benchmark.bench.table import format_bench
from tlj.errors import InputError

GPUS = {"platform": "gpu", "device_count": 4}


@pytest.fixture(scope="module")
def scaled(tiny_config):
    """One device, which this process has, and two, compiled in a process of their own."""
    ask = scaling.ask

    def ask_once(command, *, told, environment):
        return ask(command, told=told, environment=environment) if told.get("count") == 2 else answer(told)

    small = {"model": {"settings": {"depth": 1}}, "data": {"augment": {"shift": 0}}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling, "ask", ask_once)
        return bench_scaling(tiny_config("w", **small), (1, 2), "full")


def test_every_device_has_as_many_examples_and_as_much_to_compute(scaled):
    one, two = scaled["rows"]
    assert [(row["strategy"], row["devices"], row["batch"]) for row in (one, two)] == [("full", 1, 16), ("full", 2, 32)]
    assert two["flops"] == pytest.approx(2 * one["flops"], rel=0.02)
    assert scaled["batch_per_device"] == 16


def test_two_devices_add_up_every_gradient_and_one_nothing(scaled):
    one, two = scaled["rows"]
    assert (one["reductions"], one["reduced_bytes"]) == (0, 0)
    assert two["reductions"] > 10
    assert two["instructions"] > one["instructions"] > 100


def test_nothing_is_timed_on_simulated_devices(scaled):
    for row in scaled["rows"]:
        assert row["simulated"]
        assert row["median_s"] is row["window_s"] is row["examples_per_s"] is row["weak_scaling"] is None
    again = json.loads(json.dumps(scaled, allow_nan=False))
    assert "no speed is claimed" in format_bench(again)


def test_the_batch_of_a_device_is_the_configs_or_its_share_of_the_first_count(tiny_config):
    assert batch_per_device(tiny_config("w"), 4) == 4
    assert batch_per_device(tiny_config("w", parallel={"batch_per_device": 3}), 4) == 3
    with pytest.raises(InputError, match="--scaling: a batch of 16 does not divide over 3 devices"):
        batch_per_device(tiny_config("w"), 3)


def test_gpus_are_the_first_of_those_that_are_visible():
    assert environment_for(2, GPUS, {}) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert environment_for(2, GPUS, {"CUDA_VISIBLE_DEVICES": "3,5,6,7"}) == {"CUDA_VISIBLE_DEVICES": "3,5"}
    assert environment_for(4, GPUS, {}) == {}


def test_a_cpu_is_told_its_number_in_one_way():
    cpu = {"platform": "cpu", "device_count": 1}
    flags = {"XLA_FLAGS": "--xla_a=b --xla_force_host_platform_device_count=4"}
    assert environment_for(8, cpu, flags) == {"XLA_FLAGS": "--xla_a=b "}
    assert environment_for(8, cpu, {}) == {}


@pytest.mark.parametrize(
    ("count", "machine", "problem"),
    [
        (8, GPUS, "8 devices, of which there are 4; ask for at most 4"),
        (2, {"platform": "tpu", "device_count": 4}, "2 of 4 devices of a tpu cannot be taken alone"),
    ],
)
def test_devices_that_cannot_be_had_are_refused(count, machine, problem):
    with pytest.raises(InputError) as error:
        environment_for(count, machine, {})
    assert problem in str(error.value)


def test_efficiency_is_relative_to_the_first_count():
    rows = [
        {"strategy": "full", "phase": 0, "devices": devices, "examples_per_s": examples}
        for devices, examples in ((1, 100.0), (2, 180.0), (4, None))
    ]
    assert [row["weak_scaling"] for row in with_efficiency(rows, 1)] == [1.0, pytest.approx(0.9), None]


def test_real_devices_are_measured_in_the_process_of_their_number(tiny_config, monkeypatch):
    asked = []

    def ask(command, *, told: dict, environment):
        if "ask" in told:
            return GPUS
        asked.append((told["count"], told["config"]["parallel"]["batch_per_device"], environment))
        row = {"strategy": "full", "phase": 0, "devices": told["count"], "examples_per_s": 10.0 * told["count"]}
        return {"rows": [row], "device": "a GPU"}

    monkeypatch.setattr(scaling, "ask", ask)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    measured = bench_scaling(tiny_config("w"), (1, 4), "full")
    assert [(count, each) for count, each, _ in asked] == [(1, 16), (4, 16)]
    assert asked[0][2]["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in asked[1][2]
    assert [row["weak_scaling"] for row in measured["rows"]] == [1.0, 1.0]
    assert measured["device_count"] == 4


def test_a_mistake_is_found_before_any_process_begins(tiny_config, monkeypatch):
    monkeypatch.setattr(scaling, "ask", lambda *_, **__: pytest.fail("a process began"))
    with pytest.raises(InputError, match="--strategies: unknown strategy 'fulls'"):
        bench_scaling(tiny_config("w"), (1,), "fulls")
    monkeypatch.setattr("jax.distributed.is_initialized", lambda: True)
    with pytest.raises(InputError, match="--scaling: several processes"):
        bench_scaling(tiny_config("w"), (1,), "full")


def test_a_process_says_what_machine_it_is_on():
    assert answer({"ask": "machine"}) == {"platform": "cpu", "device_count": 1}


def test_the_config_of_a_process_is_the_one_that_was_given(tiny_config):
    config = tiny_config("w")
    again = configuration.merge(configuration.default(), json.loads(json.dumps(configuration.to_dict(config))))
    assert configuration.digest(again) == configuration.digest(config)
