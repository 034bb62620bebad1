"""The share of the loop's time that is spent on waiting for input."""

import dataclasses
import time
import types

import pytest

from tlj.benchmark.bench import input_wait as module
from tlj.benchmark.bench.input_wait import InputWait, input_wait
from tlj.data.ahead import Ahead
from tlj.training.programs import Programs


def test_slow_input_is_most_of_the_loop(one_run, monkeypatch):
    setup = one_run(strategy="linear_probe", init="scratch", steps=100)
    programs = Programs()
    fast = input_wait(setup, setup.phases[0], programs)
    read = Ahead.__next__

    def slowly(ahead):
        time.sleep(0.02)
        return read(ahead)

    monkeypatch.setattr(Ahead, "__next__", slowly)
    slow = input_wait(setup, setup.phases[0], programs)
    assert fast.reason is slow.reason is None
    assert 0 < fast.share < slow.share < 1


def test_as_many_steps_are_taken_as_make_a_window_whatever_a_call_takes(one_run):
    for per_call, steps in ((1, 22), (8, 40)):
        setup, dues = module._of_a_window(one_run(strategy="linear_probe", init="scratch", steps_per_call=per_call))
        assert setup.config["steps"] == dues.steps == steps
        assert [count for _, count in dues.calls(0, per_call)] == [per_call] * (steps // per_call)


def test_batches_of_several_lengths_are_not_measured_and_it_says_why(one_run):
    setup = one_run(strategy="linear_probe", init="scratch")
    told = types.SimpleNamespace(training_reader=types.SimpleNamespace(by_length=True))
    assert input_wait(told, setup.phases[0], Programs()) == InputWait(
        None, "batches of several lengths, each with a program of its own"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        InputWait(0.5).share = 1.0
