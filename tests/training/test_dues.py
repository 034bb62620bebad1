"""When a run evaluates, saves and logs, and how its steps fall into calls."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tlj.training.dues import Dues

EVERY = st.integers(0, 7)


def test_everything_is_due_after_the_last_step():
    dues = Dues(steps=10, evaluate=0, checkpoint=0, log=50)
    assert [dues.evaluates(10), dues.saves(10), dues.ends_window(10)] == [True] * 3
    assert not any(dues.evaluates(step) or dues.saves(step) or dues.ends_window(step) for step in range(1, 10))


def test_a_window_ends_before_anything_interrupts_and_with_its_phase():
    dues = Dues(steps=20, evaluate=6, checkpoint=9, log=8, starts=(0, 5))
    assert [step for step in range(1, 21) if dues.ends_window(step)] == [5, 6, 8, 9, 12, 16, 18, 20]


def test_the_dues_of_a_run_are_those_of_its_config(tiny_run):
    setup = tiny_run(
        strategy="lp_ft:7", init="scratch", checkpoint={"every": 9}, evaluate={"every": 6}, log={"every": 8}, steps=20
    )
    assert Dues.of(setup.config, setup.phases) == Dues(20, 6, 9, 8, (0, 7))


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 40), EVERY, EVERY, st.integers(1, 9), st.lists(st.integers(1, 40), max_size=3), st.data())
def test_calls_take_every_step_once_and_none_goes_on_over_the_end_of_a_window(
    steps, evaluate, checkpoint, log, starts, data
):
    dues = Dues(steps, evaluate, checkpoint, log, tuple(starts))
    first, per_call = data.draw(st.integers(0, steps)), data.draw(st.integers(1, 5))
    calls = dues.calls(first, per_call)
    assert [step for begin, count in calls for step in range(begin, begin + count)] == list(range(first, steps))
    assert {count for _, count in calls} <= {1, per_call}
    for begin, count in calls:
        assert not any(dues.ends_window(step) for step in range(begin + 1, begin + count))


def test_calls_are_as_long_as_they_may_be():
    dues = Dues(steps=11, evaluate=0, checkpoint=0, log=6)
    assert list(dues.calls(0, 3)) == [(0, 3), (3, 3), (6, 3), (9, 1), (10, 1)]


def test_a_million_single_steps_are_not_listed():
    calls = Dues(steps=10**6, evaluate=0, checkpoint=0, log=50).calls(3, 1)
    assert len(calls) == 10**6 - 3
    assert (calls[0], calls[-1], list(calls[2:4])) == ((3, 1), (10**6 - 1, 1), [(5, 1), (6, 1)])
    with pytest.raises(IndexError):
        calls[10**6]
