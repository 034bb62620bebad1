import threading
import types

import pytest

from tlj.training import stretch
from tlj.training.clock import Clock
from tlj.training.dues import Dues
from tlj.training.stretch import Own, Stretch, Taken, alone, take_stretch


@pytest.fixture
def asked(monkeypatch):
    """Steps of a run whose state is the number of steps that it has taken, with windows of three."""
    monkeypatch.setattr(stretch, "take_call", lambda call, state, *_: state + sum(count for count, _ in call))
    monkeypatch.setattr(stretch, "stop_requested", lambda step: False)
    calls = iter([[(1, "batch")] for _ in range(100)])
    dues = Dues(steps=8, evaluate=0, checkpoint=0, log=3)
    fixed = dict.fromkeys(("setup", "phase", "digests", "rng", "programs", "window", "on_steps"))
    return Stretch(**fixed, calls=calls, clock=Clock(), dues=dues, stop=threading.Event(), held=Own(0), step=0)


def test_a_stretch_ends_with_its_window(asked):
    ends, held = [], asked
    while held.step < 8:
        taken = take_stretch(held)
        ends.append((taken.held.state, taken.step, taken.leaves))
        held = held.after(taken.held, taken.step)
    assert ends == [(3, 3, False), (6, 6, False), (8, 8, False)]


def test_a_stretch_ends_at_once_where_the_run_is_to_stop(asked):
    asked.stop.set()
    assert take_stretch(asked).step == 1


@pytest.mark.parametrize(("at", "step", "leaves"), [(2, 2, True), (8, 8, False)])
def test_a_stretch_is_left_at_a_notice_but_not_after_the_last_step(asked, monkeypatch, at, step, leaves):
    monkeypatch.setattr(stretch, "stop_requested", lambda step: step == at)
    taken = take_stretch(asked if at == 2 else asked.after(Own(6), 6))
    assert (taken.step, taken.leaves) == (step, leaves)


def test_a_run_by_itself_is_sent_what_each_of_its_stretches_led_to(asked):
    def steps():
        first = yield asked
        second = yield asked.after(first.held, first.step)
        return first.step, second.step

    assert alone(steps()) == (3, 6)


def test_an_error_of_a_step_comes_out_where_the_run_asked_for_it(monkeypatch):
    def broken(asked):
        raise OSError("a batch cannot be read")

    closed = []

    def steps():
        try:
            yield types.SimpleNamespace()
        except OSError as error:
            raise ValueError("told") from error
        finally:
            closed.append(True)

    monkeypatch.setattr(stretch, "take_stretch", broken)
    with pytest.raises(ValueError, match="told"):
        alone(steps())
    assert closed == [True]


def test_a_run_that_asks_for_nothing_is_done():
    def steps():
        return "done"
        yield

    assert alone(steps()) == "done"


def test_what_was_taken_leaves_nothing_unless_told():
    assert not Taken(Own(None), 3).leaves
    assert Own("state").apart == Own("state").under_way == "state"
