import json

import numpy as np
import pytest

from tlj import config as configuration
from tlj.benchmark.bench import bench, format_bench
from tlj.benchmark.bench import measure as module
from tlj.benchmark.bench.input_wait import InputWait
from tlj.benchmark.windows import Windows
from tlj.errors import InputError

FIELDS = {
    "strategy", "phase", "start_rule", "devices", "batch", "steps_per_window", "median_s", "p5_s", "p95_s",
    "examples_per_s", "mfu", "relative_flops", "relative_time", "compile_s", "peak_bytes", "flops", "window_s",
    "simulated", "input_wait_share", "input_wait_reason", "instructions", "reductions", "reduced_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """The folder that the traces of ``measured`` go to."""
    return tmp_path_factory.mktemp("bench") / "traces"


@pytest.fixture(scope="module")
def measured(tiny_config, traces):
    """Two strategies and the reference, really measured, with windows as short as the rule of the house allows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SECONDS", 0.0)
        return bench(tiny_config("w"), "linear_probe,lp_ft:10", windows=2, traces=traces)


@pytest.fixture
def told(monkeypatch):
    """Puts seconds by window in the place of those that a clock would give, program by program; no loop is run."""

    def tell(*seconds):
        def take_turns(steppers, windows, least):
            assert len(steppers) == len(seconds)
            return [Windows(np.array(row), 25) for row in seconds]

        monkeypatch.setattr(module, "take_turns", take_turns)
        monkeypatch.setattr(module, "input_wait", lambda setup, phase, programs: InputWait(None, "not asked for"))

    return tell


def test_every_phase_has_a_row_and_full_is_measured_unasked(measured):
    rows = [(row["strategy"], row["phase"], row["start_rule"]) for row in measured["rows"]]
    assert rows == [
        ("linear_probe", 0, "step 0"), ("lp_ft:10", 0, "step 0"), ("lp_ft:10", 1, "step 10"), ("full", 0, "step 0"),
    ]  # fmt: skip
    assert all(set(row) == FIELDS for row in measured["rows"])


def test_figures_of_a_row_agree_with_each_other(measured):
    for row in measured["rows"]:
        assert 0 < row["p5_s"] <= row["median_s"] <= row["p95_s"]
        assert row["examples_per_s"] == pytest.approx(16 / row["median_s"])
        assert (row["batch"], row["devices"], row["steps_per_window"], row["mfu"]) == (16, 1, 20, None)
        assert row["compile_s"] > 0


def test_windows_are_kept_so_that_two_measurements_can_be_compared(measured):
    for row in measured["rows"]:
        assert len(row["window_s"]) == measured["windows"] == 2
        assert row["median_s"] == pytest.approx(np.median(row["window_s"]))


def test_the_loop_waits_for_its_input_for_a_share_of_its_time(measured):
    for row in measured["rows"]:
        assert 0 < row["input_wait_share"] < 1
        assert row["input_wait_reason"] is None


def test_where_and_when_and_what_is_told(measured, tiny_config):
    assert measured["date"].endswith("+00:00")
    assert (measured["device"], measured["platform"], measured["device_count"]) == ("cpu", "cpu", 1)
    elsewhere, other = tiny_config("elsewhere"), tiny_config("w", steps=25)
    digests = [module.facts_of(config, module.setups_by_batch(config, "full", ())[16])["config_digest"]
               for config in (elsewhere, other)]  # fmt: skip
    assert digests[0] == measured["config_digest"] != digests[1]


def test_every_phase_of_every_strategy_has_a_trace_that_viewers_read(measured, traces):
    folders = {folder.name for folder in traces.iterdir()}
    assert folders == {
        "linear_probe-phase0-batch16", "lp_ft_10-phase0-batch16", "lp_ft_10-phase1-batch16", "full-phase0-batch16",
    }  # fmt: skip
    for folder in traces.iterdir():
        (place,) = (folder / "plugins" / "profile").iterdir()
        assert (place / "perfetto_trace.json.gz").stat().st_size > 100
        assert list(place.glob("*.xplane.pb"))


def test_rows_of_every_batch_are_related_to_full_at_that_batch(tiny_config, told):
    told([2.0])
    small, usual = bench(tiny_config("w"), "full", 1, (8, 16))["rows"]
    assert [(row["strategy"], row["batch"]) for row in (small, usual)] == [("full", 8), ("full", 16)]
    assert small["relative_flops"] == usual["relative_flops"] == 1.0
    assert usual["flops"] > 1.5 * small["flops"]
    assert (small["examples_per_s"], usual["examples_per_s"]) == (4.0, 8.0)


def test_a_program_is_measured_once_and_stands_in_every_row_that_runs_it(measured):
    probe, first, second, full = measured["rows"]
    same = FIELDS - {"strategy", "phase", "start_rule"}
    assert [probe[name] for name in same] == [first[name] for name in same]
    assert [second[name] for name in same] == [full[name] for name in same]
    assert full["relative_time"] == full["relative_flops"] == 1.0


def test_a_probe_takes_a_third_of_the_flops_and_less_memory(measured):
    probe, *_, full = measured["rows"]
    # Less than a third in a model this small: the full step draws dropout's random bits, which are many beside it.
    assert 0.2 < probe["relative_flops"] < 0.37
    assert probe["peak_bytes"] < full["peak_bytes"]


def test_the_ratio_is_the_median_over_rounds_and_not_that_of_the_medians(tiny_config, told):
    # The machine is ten times as slow in the last two rounds; within a round the probe always takes a quarter.
    told([1.0, 1.1, 1.0, 10.0, 10.0], [4.0, 4.4, 4.0, 40.0, 40.0])
    probe, full = bench(tiny_config("w"), "linear_probe")["rows"]
    assert probe["relative_time"] == pytest.approx(0.25)
    # Slow from the middle of the third round on: the medians alone would say 1.1 / 40.
    told([1.0, 1.0, 1.1, 10.0, 10.0], [4.0, 4.0, 40.0, 40.0, 40.0])
    probe, full = bench(tiny_config("w"), "linear_probe")["rows"]
    assert (probe["median_s"], full["median_s"]) == (1.1, 40.0)
    assert probe["relative_time"] == pytest.approx(0.25)


def test_utilisation_is_told_where_the_peak_is_known(tiny_config, told, monkeypatch):
    monkeypatch.setattr(module, "flops_utilisation", lambda flops, seconds, devices, kind: flops / seconds)
    told([2.0], [4.0])
    probe, full = bench(tiny_config("w"), "linear_probe", windows=1)["rows"]
    assert probe["mfu"] / full["mfu"] == pytest.approx(2 * probe["relative_flops"])


def test_an_init_and_a_source_play_no_part(tiny_config, told):
    told([1.0], [2.0], [3.0], [4.0])
    rows = bench(tiny_config("w", strategy="linear_probe", init="mean_var"), "copy_train:1,copy_freeze:1,linear_probe")
    assert [row["strategy"] for row in rows["rows"]] == ["copy_train:1", "copy_freeze:1", "linear_probe", "full"]


@pytest.mark.parametrize(
    ("strategies", "problem"),
    [
        ("linear_prob", "--strategies: unknown strategy 'linear_prob'; did you mean 'linear_probe'?"),
        ("last_blocks:x", "--strategies: 'last_blocks:x': last_blocks takes a whole number"),
        ("last_blocks:9", "--strategies: last_blocks:9 on a model of 2 blocks"),
        (" , ", "--strategies: no strategy"),
    ],
)
def test_a_strategy_that_cannot_be_is_an_error_of_the_flag(tiny_config, strategies, problem):
    with pytest.raises(InputError) as error:
        bench(tiny_config("w"), strategies)
    assert str(error.value).startswith(problem)


def test_a_strategy_of_the_config_that_cannot_be_is_an_error_of_the_config(tiny_config):
    with pytest.raises(InputError, match="config.strategy: last_blocks:9 on a model of 2 blocks"):
        bench(tiny_config("w", strategy="last_blocks:9"))


def test_at_least_one_window_is_needed(tiny_config):
    with pytest.raises(InputError, match="--windows: 0 windows; write a whole number"):
        bench(tiny_config("w"), windows=0)


def test_settings_of_groups_hold_for_what_is_asked_for_and_not_for_the_reference(tiny_config, told):
    config = configuration.merge(
        tiny_config("w"), {"groups": {"frozen": {"norm_mode": "frozen"}, "head": {"optimizer": "sgd"}}}
    )
    told([1.0], [2.0])
    assert len(bench(config, "linear_probe")["rows"]) == 2
    config = configuration.merge(tiny_config("w"), {"groups": {"nobody": {"optimizer": "sgd"}}})
    with pytest.raises(InputError, match="config.groups.nobody: the strategy has no group 'nobody'"):
        bench(config, "linear_probe")


def test_measurements_are_json_and_print_as_a_table(measured):
    again = json.loads(json.dumps(measured, allow_nan=False))
    assert (again["what"]["global_batch_size"], again["device"]) == (16, "cpu")
    assert {"tlj", "jax", "jaxlib"} <= set(again["versions"])
    title, header, *rows = format_bench(again).splitlines()
    assert title == "vit, float32, batch 16, 1 x cpu"
    assert header.split() == [
        "strategy", "phase", "step", "p5", "to", "p95", "examples/s", "time", "FLOPs", "MFU", "input", "compile",
        "memory",
    ]  # fmt: skip
    assert "weak_scaling" not in measured["rows"][0]
    assert [row.split()[:2] for row in rows[:4]] == [
        ["linear_probe", "0"], ["lp_ft:10", "0"], ["lp_ft:10", "1"], ["full", "0"],
    ]  # fmt: skip
    assert "median over 2 windows of at least 20 steps" in rows[4]
    assert "the median over rounds" in rows[5]
