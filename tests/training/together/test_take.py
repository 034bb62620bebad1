import threading
import types

import numpy as np
import pytest

from tlj.training.clock import Clock
from tlj.training.compiled import initial_state, run_keys
from tlj.training.dues import Dues
from tlj.training.initial import start_variables
from tlj.training.programs import Programs, count_compilations
from tlj.training.read_order import order_key
from tlj.training.stepping import Window
from tlj.training.stretch import Own, Stretch, Taken
from tlj.training.summary import state_digests
from tlj.training.together.sameness import together_key
from tlj.training.together.stack import Commons
from tlj.training.together.take import Member, take_together


@pytest.fixture(scope="module")
def programs():
    return Programs()


@pytest.fixture
def member(tiny_run, programs):
    """Builds a run that waits for its first steps, with what it is told of."""

    def make(**changes):
        setup = tiny_run(strategy="linear_probe", init="scratch", steps=20, **changes)
        (phase,), clock, told = setup.phases, Clock(), []
        state = initial_state(setup, phase, start_variables(setup)[0], programs)
        digests, window = state_digests(state), Window(clock, 0)
        dues, stop = Dues.of(setup.config, setup.phases), threading.Event()
        fixed = (setup, phase, digests, run_keys(setup.config["seed"]), iter(()), None, window, clock, dues)
        asked = Stretch(*fixed, lambda count, flops: told.append((count, flops)), stop, Own(state), 0)
        made = Member(iter(()), asked, together_key(setup, phase), order_key(setup), clock._begin)
        return types.SimpleNamespace(member=made, told=told, window=window, clock=clock)

    return make


def go_on(runs, taken):
    for run, found in zip(runs, taken, strict=True):
        run.member.asked = run.member.asked.after(found.held, found.step)


def test_steps_are_taken_to_the_first_end_of_a_window_and_further_in_the_same_stack(member, programs):
    runs = [member(log={"every": 8}), member(log={"every": 2}, optimizer={"learning_rate": 0.1})]
    commons = Commons()
    taken = take_together([run.member for run in runs], commons, programs, 2)
    assert [(found.step, found.leaves) for found in taken] == [(2, False)] * 2
    assert [run.member.is_due(found) for run, found in zip(runs, taken, strict=True)] == [False, True]
    go_on(runs, taken)
    again = take_together([run.member for run in runs], commons, programs, 2)
    assert again[0].held.stack is taken[0].held.stack
    # Every step is in the window that it belongs to, and counted once.
    assert [sum(count for count, _ in run.told) for run in runs] == [4, 4]
    row, _ = runs[0].window.end(4, ())
    assert row["timing"]["batched_with"] == 2
    # Its share, and no more: the rest of the time that went by was the other's.
    assert 0 < runs[0].clock.train_s < runs[0].clock.wall_s


def test_a_run_that_leaves_changes_no_program_for_those_that_stay(member, programs):
    # With one seed left all read the same, and the program goes on taking a batch for each.
    runs = [member(log={"every": 2}, seed=seed) for seed in (0, 0, 1)]
    commons = Commons()
    go_on(runs, take_together([run.member for run in runs], commons, programs, 4))
    with count_compilations() as compiled:
        (first, _) = take_together([run.member for run in runs[:2]], commons, programs, 4)
    assert not compiled
    assert (first.held.place, first.held.stack.places) == (0, 4)


def test_a_state_apart_shares_nothing_and_may_be_given_away(member, programs):
    runs = [member(), member()]
    held = take_together([run.member for run in runs], Commons(), programs, 2)[1].held
    kernel = held.state.params["backbone"]["block0"]["mlp"]["up"]["kernel"]
    assert kernel is held.state.params["backbone"]["block0"]["mlp"]["up"]["kernel"]
    apart = held.apart.params["backbone"]["block0"]["mlp"]["up"]["kernel"]
    np.testing.assert_array_equal(apart, kernel)
    apart.delete()
    assert not kernel.is_deleted()


def test_a_run_that_is_to_stop_goes_on_at_once(member, programs):
    run = member(log={"every": 8})
    run.member.asked.stop.set()
    (taken,) = take_together([run.member], Commons(), programs, 2)
    assert taken.step == 1
    assert run.member.is_due(taken)
    run.member.asked.stop.clear()
    assert not run.member.is_due(taken)
    assert run.member.is_due(Taken(None, 3, leaves=True))
