"""What changed between two measurements, on made-up ones."""

import json

import pytest

from tlj.benchmark.bench.comparison import compare_benches, read_bench
from tlj.benchmark.bench.comparison_text import format_comparison
from tlj.errors import InputError


def row(strategy, *seconds, **more):
    key = {"strategy": strategy, "phase": 0, "batch": 8, "devices": 1}
    return {**key, "window_s": list(seconds) or None, "flops": 100.0, "peak_bytes": 10, "compile_s": 2.0, **more}


def bench_of(*rows, **more):
    facts = {"date": "then", "device": "cpu", "device_count": 1, "versions": {"jax": "0.10.2"}, "config_digest": "a"}
    return {**facts, "what": {"dtype": "float32", "model": {"family": "vit"}}, "rows": list(rows), **more}


FULL = row("full", 4.0, 4.1, 4.0, 4.2, 4.0)
PROBE = row("linear_probe", 1.0, 1.02, 1.0, 1.05, 1.0)


def changes(then, now):
    return {found["strategy"]: found for found in compare_benches(then, now)["rows"]}


def times(measured, factor):
    return {**measured, "window_s": [factor * seconds for seconds in measured["window_s"]]}


def test_nothing_changed_where_nothing_did():
    found = changes(bench_of(PROBE, FULL), bench_of(PROBE, FULL))
    assert {one["changed"] for one in found.values()} == {"same"}
    assert found["linear_probe"]["step"]["ratio"] == found["linear_probe"]["flops"] == 1.0


def test_a_machine_that_is_twice_as_slow_changes_the_step_and_not_the_time_relative_to_full():
    probe = changes(bench_of(PROBE, FULL), bench_of(times(PROBE, 2), times(FULL, 2)))["linear_probe"]
    assert probe["step"]["ratio"] == pytest.approx(2.0)
    assert probe["relative"]["ratio"] == pytest.approx(1.0)
    assert (probe["changed"], probe["by"]) == ("same", "relative")


def test_a_strategy_that_became_slower_is_told_with_an_interval():
    found = changes(bench_of(PROBE, FULL), bench_of(times(PROBE, 1.2), FULL))
    relative = found["linear_probe"]["relative"]
    assert 1 < relative["low"] <= relative["ratio"] <= relative["high"]
    assert relative["ratio"] == pytest.approx(1.2)
    assert (found["linear_probe"]["changed"], found["full"]["changed"]) == ("slower", "same")
    assert changes(bench_of(times(PROBE, 1.2), FULL), bench_of(PROBE, FULL))["linear_probe"]["changed"] == "faster"


def test_full_can_only_be_judged_by_its_own_step():
    full = changes(bench_of(FULL), bench_of(times(FULL, 0.5)))["full"]
    assert (full["relative"], full["changed"], full["by"]) == (None, "faster", "step")


def test_a_difference_within_the_noise_of_windows_is_none():
    noisy = row("linear_probe", 0.8, 1.3, 1.1, 0.9, 1.4)
    assert changes(bench_of(PROBE, FULL), bench_of(noisy, FULL))["linear_probe"]["changed"] == "same"


def test_a_difference_too_small_to_tell_two_processes_apart_is_none():
    quiet = row("linear_probe", 1.0, 1.0, 1.0)
    full = row("full", 4.0, 4.0, 4.0)
    found = changes(bench_of(quiet, full), bench_of(times(quiet, 1.02), full))["linear_probe"]
    assert found["relative"]["low"] > 1
    assert found["changed"] == "same"


def test_the_interval_is_the_same_every_time():
    noisy = row("linear_probe", 0.8, 1.3, 1.1, 0.9, 1.4)
    first, second = (compare_benches(bench_of(PROBE, FULL), bench_of(noisy, FULL)) for _ in range(2))
    assert first == second


def test_rows_are_matched_by_batch_and_devices_and_those_left_over_are_listed():
    then = bench_of(PROBE, FULL, {**PROBE, "batch": 32})
    compared = compare_benches(then, bench_of(PROBE, FULL, {**PROBE, "devices": 4}))
    assert [found["strategy"] for found in compared["rows"]] == ["linear_probe", "full"]
    assert compared["only_then"] == [["linear_probe", 0, 32, 1]]
    assert compared["only_now"] == [["linear_probe", 0, 8, 4]]
    text = format_comparison(compared)
    assert "measured then and not now: linear_probe phase 0, batch 32, 1 device\n" in text
    assert "measured now and not then: linear_probe phase 0, batch 8, 4 devices\n" in text


def test_rows_that_were_not_timed_are_compared_by_what_the_compiler_says():
    then, now = row("full"), row("full", flops=50.0, peak_bytes=5, compile_s=4.0)
    found = changes(bench_of(then), bench_of(now))["full"]
    assert (found["step"], found["changed"], found["by"]) == (None, None, None)
    assert (found["flops"], found["peak_bytes"], found["compile_s"]) == (0.5, 0.5, 2.0)
    assert changes(bench_of(row("full", peak_bytes=None)), bench_of(now))["full"]["peak_bytes"] is None


def test_what_else_differs_is_told_first():
    now = bench_of(PROBE, FULL, device="NVIDIA H200", versions={"jax": "0.11.0", "flax": "1"})
    lines = format_comparison(compare_benches(bench_of(PROBE, FULL), now)).splitlines()
    assert lines[1:4] == [
        "differs: device: then cpu, now NVIDIA H200",
        "differs: version of jax: then 0.10.2, now 0.11.0",
        "differs: version of flax: then None, now 1",
    ]


def test_a_comparison_is_json_and_prints_a_line_for_each_row():
    compared = compare_benches(bench_of(PROBE, FULL), bench_of(times(PROBE, 2), times(FULL, 1.5)))
    text = format_comparison(json.loads(json.dumps(compared, allow_nan=False)))
    _, _, probe, full, *_ = text.splitlines()
    assert probe.split()[:5] == ["linear_probe", "0", "8", "1", "2.000"]
    assert probe.endswith("slower")
    assert full.endswith("slower (by its step alone)")
    assert "bootstrap of the ratio of medians over windows" in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is no JSON"),
        ("[1]", "holds no step times of strategies"),
        ('{"rows": []}', "holds no step times of strategies"),
        ('{"rows": [{"what": "input"}]}', "holds no step times of strategies"),
        ('{"overhead": {}}', "holds no step times of strategies"),
    ],
)
def test_another_file_is_one_clear_line(content, problem, tmp_path):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(InputError) as error:
        read_bench(tmp_path / "other.json", "--compare")
    assert str(error.value).startswith("--compare: ")
    assert problem in str(error.value)


def test_a_file_of_an_older_tlj_says_what_it_lacks(tmp_path):
    old = bench_of(PROBE)
    old["rows"] = [{name: value for name, value in PROBE.items() if name != "window_s"}]
    del old["config_digest"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match="says nothing of window_s, config_digest: an older tlj measured it; measure"):
        read_bench(tmp_path / "old.json", "--compare")
    with pytest.raises(InputError, match="--compare: .*none.json: No such file"):
        read_bench(tmp_path / "none.json", "--compare")


def test_a_good_file_is_read_as_it_was_written(tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(bench_of(PROBE, FULL)))
    assert read_bench(tmp_path / "good.json", "--compare") == bench_of(PROBE, FULL)
