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


def test_the_step_time_is_the_median_of_windows_that_are_long_enough(now):
    clock = Clock()
    for steps, seconds in ((50, 5.0), (50, 10.0), (50, 500.0), (5, 0.001)):
        now[0] += seconds
        clock.end(steps)
    assert clock.step_s() == pytest.approx(0.2)


def test_short_windows_serve_where_there_are_no_others(now):
    clock = Clock()
    assert clock.step_s() is None
    now[0] += 1.0
    clock.end(10)
    assert clock.step_s() == pytest.approx(0.1)


def test_what_stands_between_two_windows_is_in_neither(now):
    clock = Clock()
    now[0] += 1.0
    clock.end(20)
    now[0] += 7.0
    clock.begin()
    now[0] += 2.0
    assert clock.end(20) == pytest.approx(0.1)
    assert time.perf_counter() == now[0]
