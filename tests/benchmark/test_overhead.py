import json
import tempfile
import time

import pytest

from tlj.benchmark import overhead as module
from tlj.benchmark.overhead import checkpoint_time, format_checkpoint_time, format_overhead, measure_overhead
from tlj.errors import InputError

HOST = {"input_s": 1e-4, "take_call_s": 6e-4, "dispatch_s": 5e-4}
HELD = {"steps": 8, "host_s": 0.004, "held_s": 1.1, "waited": False}
SPREAD = {"median_s": 4e-3, "p5_s": 3e-3, "p95_s": 5e-3}
MEASURED = {
    "device": "cpu",
    "what": {"model": {"family": "vit"}, "dtype": "float32", "global_batch_size": 32, "devices": 1},
    "steps_per_call": 1,
    "log_every": 40,
    "steps_per_window": 80,
    "windows": 5,
    "loop": SPREAD,
    "step": {**SPREAD, "median_s": 3.5e-3},
    "overhead_s": 5e-4,
    "overhead_share": 0.125,
    "host": {**HOST, "held": HELD},
}


@pytest.fixture
def no_step_path(monkeypatch):
    """The step path is measured in a test of its own; the setups that it would have been measured for."""
    setups = []

    class Known:
        def __init__(self, setup, programs):
            setups.append(setup)

        def measure(self, windows):
            return {**HOST, "held": HELD}

    monkeypatch.setattr(module, "StepPath", Known)
    monkeypatch.setattr(module, "SECONDS", 0.0)
    return setups


class Alone:
    """The compiled step alone, as slow as it is told."""

    seconds = 0.0

    def __init__(self, setup, phase, programs):
        self.phase = phase

    def steps_of(self, seconds):
        return 20

    def window(self, steps):
        time.sleep(0.5)
        return self.seconds


def test_the_real_loop_is_measured_beside_its_step_and_leaves_no_file(tiny_config, no_step_path, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # Two phases, a validation and checkpoints: none of them is the loop's own.
    config = tiny_config(
        tmp_path / "nowhere", strategy="lp_ft:10", log={"every": 10}, evaluate={"every": 4}, checkpoint={"every": 5}
    )
    measured = measure_overhead(config, windows=2)
    assert json.loads(json.dumps(measured)) == measured
    assert set(measured) == set(MEASURED)
    assert (measured["log_every"], measured["windows"]) == (10, 2)
    assert measured["steps_per_window"] == 20
    assert 0 < measured["step"]["median_s"] < measured["loop"]["median_s"] * 3
    assert measured["loop"]["p5_s"] <= measured["loop"]["median_s"] <= measured["loop"]["p95_s"]
    assert list(tmp_path.iterdir()) == []
    assert [len(setup.phases) for setup in no_step_path] == [1]


def test_what_the_loop_does_between_two_windows_is_in_neither(tiny_config, no_step_path, monkeypatch):
    monkeypatch.setattr(module, "Stepper", Alone)
    measured = measure_overhead(tiny_config("nowhere", strategy="scratch", log={"every": 20}), windows=3)
    # The step alone takes its half a second after every window of the loop, and it is in none.
    assert 20 * measured["loop"]["median_s"] < 0.5
    assert measured["overhead_s"] == pytest.approx(measured["loop"]["median_s"])
    assert measured["overhead_share"] == pytest.approx(1.0)


def test_a_slow_line_of_metrics_is_overhead(tiny_config, no_step_path, monkeypatch):
    monkeypatch.setattr(module, "Stepper", Alone)
    config = tiny_config("nowhere", strategy="scratch", log={"every": 20})
    from tlj.training import run_logs

    write = run_logs.MetricsLog.write

    def slow(self, row):
        time.sleep(0.4)
        write(self, row)

    monkeypatch.setattr(run_logs.MetricsLog, "write", slow)
    assert measure_overhead(config, windows=2)["overhead_s"] > 0.4 / 20


def test_what_cannot_be_measured_is_refused(tiny_config):
    with pytest.raises(InputError, match="0 windows"):
        measure_overhead(tiny_config("nowhere"), windows=0)


def test_the_table_has_every_figure_and_the_proof():
    text = format_overhead(MEASURED)
    assert text.splitlines()[0] == "vit, float32, batch 32, 1 x cpu, steps_per_call 1"
    figures = dict(line.split("  ", 1) for line in text.splitlines()[1:7])
    assert {name: value.strip() for name, value in figures.items()} == {
        "the loop": "4.000 ms  (3.000 ms to 5.000 ms)",
        "the step alone": "3.500 ms  (3.000 ms to 5.000 ms)",
        "overhead": "0.500 ms, 12.5% of the loop",
        "host: input": "0.100 ms",
        "host: dispatch": "0.500 ms",
        "host: rest of take_call": "0.100 ms",
    }
    assert (
        "never waits for the device: with the device held up for 1.10 s, the host handed over 8 steps in 4.0 ms" in text
    )
    waiting = {**MEASURED, "host": {**HOST, "held": {**HELD, "waited": True}}}
    assert "the step path waits for the device" in format_overhead(waiting)


def test_a_checkpoint_is_timed_on_the_disk_of_the_workdir(tiny_config, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(module, "measure_checkpoint", folders.append)
    checkpoint_time(tiny_config(tmp_path / "not" / "there"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    checkpoint_time(tiny_config(""))
    assert folders == [tmp_path, tmp_path]


def test_the_time_of_a_checkpoint_is_one_line():
    measured = {"parameters": 10**8, "bytes": 12 * 10**8, "blocked_s": 0.25, "write_s": 2.5, "blocked_share": 0.1}
    assert format_checkpoint_time(measured) == (
        "a checkpoint of 100,000,000 parameters, 1,144 MiB: blocks the loop for 0.250 s of the 2.500 s that it takes, "
        "10.0%"
    )
