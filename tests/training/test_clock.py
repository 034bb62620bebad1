import json
import time

import pytest

from tlj.training import clock as module
from tlj.training.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """A time that the test moves."""
    moment = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: moment[0])
    return moment


def test_a_pause_is_taken_out_of_its_window_and_charged(now):
    clock = Clock()
    now[0] += 2.0
    with clock.pause("evaluate"):
        now[0] += 5.0
    now[0] += 1.0
    assert clock.end(30) == pytest.approx(0.1)
    assert clock.charged["evaluate"] == 5.0


def test_a_wait_for_input_stays_in_its_window_and_is_charged(now):
    clock = Clock()
    with clock.charge("input_wait"):
        now[0] += 3.0
    assert clock.end(30) == pytest.approx(0.1)
    assert clock.charged["input_wait"] == 3.0


def test_the_time_of_other_runs_is_in_nothing_but_for_a_share(now):
    clock = Clock()
    clock.begin_phase(1)
    now[0] += 2.0
    begun = now[0]
    now[0] += 90.0
    # Of the 90 seconds this run had 10 of steps, and 5 were for what was compiled for it.
    clock.share(begun, steps_s=10.0, compile_s=5.0)
    assert clock.end(30) == pytest.approx(12.0 / 30)
    assert (clock.train_s, clock.wall_s) == (12.0, 17.0)
    assert (clock.charged["compile"], clock.compile_s[1]) == (5.0, 5.0)


def test_a_clock_remembers_with_how_many_others_the_run_was_trained():
    clock = Clock()
    assert "batched_with" not in clock.to_json()
    clock.batched_with = 7
    assert Clock.from_json(json.loads(json.dumps(clock.to_json()))).batched_with == 7
    assert Clock.from_json(Clock().to_json()).batched_with == 1


def test_the_step_time_is_the_median_of_windows(now):
    clock = Clock()
    for steps, seconds in ((50, 5.0), (50, 10.0), (50, 500.0)):
        now[0] += seconds
        clock.end(steps)
    assert clock.step_s() == pytest.approx(0.2)
    assert clock.train_s == pytest.approx(515.0)


def test_short_stretches_are_joined_into_windows_of_twenty_steps(now):
    clock = Clock()
    for steps, seconds in ((8, 0.8), (8, 0.8), (8, 3.2), (19, 100.0)):
        now[0] += seconds
        clock.end(steps)
    assert clock.step_s() == pytest.approx(4.8 / 24)


def test_fewer_steps_than_a_window_give_no_step_time(now):
    clock = Clock()
    now[0] += 1.0
    assert clock.end(19) == pytest.approx(1 / 19)
    assert clock.step_s() is None


def test_what_stands_between_two_windows_is_in_neither(now):
    clock = Clock()
    now[0] += 1.0
    clock.end(20)
    now[0] += 7.0
    clock.begin()
    now[0] += 2.0
    assert clock.end(20) == pytest.approx(0.1)
    assert time.perf_counter() == now[0]


def test_step_times_are_told_apart_by_phase(now):
    clock = Clock()
    now[0] += 2.0
    clock.end(20)
    now[0] += 50.0
    clock.begin_phase(1)
    now[0] += 8.0
    clock.end(20)
    assert [clock.step_s(index) for index in (0, 1, 2)] == [pytest.approx(0.1), pytest.approx(0.4), None]
    assert clock.step_s() == pytest.approx(0.25)
    assert clock.train_s == pytest.approx(10.0)


def test_a_window_does_not_reach_over_the_end_of_its_phase(now):
    clock = Clock()
    now[0] += 9.0
    clock.end(19)
    clock.begin_phase(1)
    now[0] += 1.0
    clock.end(10)
    assert clock.step_s() is None
    now[0] += 1.0
    clock.end(10)
    assert (clock.step_s(0), clock.step_s(1)) == (None, pytest.approx(0.1))


def test_a_clock_goes_on_from_what_a_checkpoint_held(now):
    clock = Clock()
    now[0] += 2.0
    clock.end(20)
    with clock.pause("evaluate"):
        now[0] += 1.0
    clock.compiled(0, 4.0)
    clock.begin_phase(1)
    now[0] += 8.0
    clock.end(20)
    held = json.loads(json.dumps(clock.to_json()))
    now[0] += 1000.0  # in which the process was killed and started again
    resumed = Clock.from_json(held)
    assert (resumed.wall_s, resumed.train_s, resumed.charged["evaluate"]) == (11.0, 10.0, 1.0)
    now[0] += 3.0
    resumed.compiled(1, 5.0)
    assert resumed.wall_s == 14.0
    assert resumed.compile_s == {0: 4.0, 1: 5.0}
    assert [resumed.step_s(index) for index in (0, 1)] == [pytest.approx(0.1), pytest.approx(0.4)]


def test_a_clock_that_begins_has_measured_nothing(now):
    clock = Clock.from_json({})
    assert (clock.wall_s, clock.train_s, clock.step_s(), dict(clock.charged)) == (0.0, 0.0, None, {})


def test_of_many_windows_the_latest_are_remembered(now, monkeypatch):
    monkeypatch.setattr(module, "MOST_WINDOWS", 3)
    clock = Clock()
    for seconds in (100.0, 100.0, 1.0, 1.0, 1.0):
        now[0] += seconds
        clock.end(20)
    assert clock.step_s() == pytest.approx(0.05)
    assert len(clock.to_json()["windows"]["0"]) == 3
