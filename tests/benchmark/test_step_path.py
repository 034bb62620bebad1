import time

import jax
import numpy as np
import pytest

from tlj.benchmark import step_path as module
from tlj.benchmark.step_path import HELD_S, StepPath, hold_up
from tlj.training.programs import Programs
from tlj.training.stepping import IN_FLIGHT, Window

alone = pytest.mark.skipif(jax.device_count() > 1, reason="where a CPU stands for several devices the loop waits")


@pytest.fixture(scope="module")
def programs():
    return Programs()


@pytest.fixture
def quickly(monkeypatch):
    """The device is held up for less, so that these tests are short."""
    monkeypatch.setattr(module, "HELD_S", 0.4)


@pytest.fixture
def scratch(one_run):
    return one_run(strategy="scratch", init="scratch", steps=60, log={"every": 20})


@alone
def test_the_host_hands_steps_over_while_the_device_is_held_up(scratch, programs, quickly):
    measured = StepPath(scratch, programs).measure(2)
    held = measured["held"]
    assert not held["waited"]
    assert held["steps"] == IN_FLIGHT
    assert held["host_s"] < held["held_s"]
    assert 0 < measured["dispatch_s"] < measured["take_call_s"]
    assert measured["input_s"] > 0


@alone
@pytest.mark.parametrize("name", ["loss", "learning_rate"])
def test_a_metric_that_is_read_in_the_step_path_is_found_out(name, scratch, programs, quickly, monkeypatch):
    add = Window.add

    def reading(self, metrics, count):
        add(self, metrics, count)
        float(jax.tree.leaves(metrics[name])[0])

    monkeypatch.setattr(Window, "add", reading)
    assert StepPath(scratch, programs).measure(1)["held"]["waited"]


def test_steps_of_one_call_are_counted_each(one_run, programs, quickly):
    setup = one_run(strategy="scratch", init="scratch", steps=140, steps_per_call=4, log={"every": 40})
    assert StepPath(setup, programs).measure(1)["held"]["steps"] == 4 * IN_FLIGHT


def test_what_holds_the_device_up_gives_the_step_back_after_its_time():
    step = jax.device_put(np.int32(7))
    hold = hold_up(step.sharding)
    begin = time.perf_counter()
    held, token = hold(step)
    assert not token.is_ready(), "the host computes it itself"
    assert int(held) == 7
    assert time.perf_counter() - begin > HELD_S / 4
