import contextlib
import dataclasses

import jax
import pytest

from tlj.benchmark import windows
from tlj.benchmark.windows import Stepper, take_turns
from tlj.training.programs import Programs, count_compilations


@pytest.fixture(scope="module")
def setup(one_run):
    return one_run(strategy="lp_ft:10")


def test_a_later_phase_can_be_timed_as_well_as_the_first(setup):
    programs = Programs()
    steppers = [Stepper(setup, phase, programs) for phase in setup.phases]
    assert steppers[0].program.flops < 0.5 * steppers[1].program.flops
    assert all(stepper.window(2) > 0 for stepper in steppers)


def test_a_step_from_cached_activations_is_timed_without_any_being_extracted(one_run, tmp_path, monkeypatch):
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path))
    plain = {"strategy": "last_blocks:1", "data": {"augment": {"shift": 0}}}
    programs = Programs()
    cached, whole = (
        Stepper(setup, setup.phases[0], programs)
        for setup in (one_run(**plain, cache={"activations": "float32"}), one_run(**plain))
    )
    assert cached.program.flops < 0.8 * whole.program.flops
    assert cached.window(2) > 0
    assert not list(tmp_path.iterdir())


def test_a_window_leaves_no_state_behind_and_compiles_nothing_anew(setup):
    stepper = Stepper(setup, setup.phases[1], Programs())
    stepper.window(1)
    before = sum(array.nbytes for array in jax.live_arrays())
    with count_compilations() as compiled:
        stepper.window(1)
    assert not compiled
    assert sum(array.nbytes for array in jax.live_arrays()) == before


class Recorder:
    """A stepper that takes as long as it is told, and writes its turns down."""

    def __init__(self, name, seconds, turns):
        self.name, self.seconds, self.turns = name, seconds, turns

    def window(self, steps):
        self.turns.append((self.name, steps))
        return self.seconds

    steps_of = Stepper.steps_of


def test_programs_take_turns_window_by_window():
    turns = []
    a, b = take_turns([Recorder("a", 0.2, turns), Recorder("b", 0.1, turns)], windows=3)
    assert turns == [("a", 20), ("b", 20)] * 3
    assert (a.seconds.tolist(), b.seconds.tolist()) == ([0.2] * 3, [0.1] * 3)
    assert a.steps == b.steps == 20


def test_windows_of_fast_steps_are_longer_and_none_is_shorter_than_twenty_steps():
    timed = take_turns([Recorder("slow", 0.2, []), Recorder("fast", 0.001, [])], windows=1, seconds=0.5)
    assert [windows.steps for windows in timed] == [20, 500]


def test_the_clock_runs_over_the_timed_steps_alone_and_waits_for_the_device_at_both_ends(setup, monkeypatch):
    stepper, steps, events = Stepper(setup, setup.phases[0], Programs()), [], []
    call, wait = stepper.program.call, jax.block_until_ready

    def counted(*arguments):
        steps.append(1)
        return call(*arguments)

    def clock():
        events.append(("clock", len(steps)))
        return float(len(steps))

    def waited(state):
        events.append(("wait", len(steps)))
        return wait(state)

    monkeypatch.setattr(stepper, "program", dataclasses.replace(stepper.program, call=counted))
    monkeypatch.setattr(windows.time, "perf_counter", clock)
    monkeypatch.setattr(windows.jax, "block_until_ready", waited)
    assert stepper.window(5, warm_up=3) == 1.0
    assert events[-4:] == [("wait", 3), ("clock", 3), ("wait", 8), ("clock", 8)]
    # Where a CPU stands for several devices, steps that are under way together hang, and XLA ends the process.
    monkeypatch.setattr(windows, "calls_ahead", lambda most: 0)
    events.clear()
    stepper.window(3, warm_up=0)
    assert [steps for event, steps in events if event == "wait"][-4:] == [9, 10, 11, 11]


def test_a_batch_of_another_shape_has_a_program_of_its_own(setup):
    programs = Programs()
    usual = Stepper(setup, setup.phases[0], programs)
    half = {name: array[:8] for name, array in setup.usual_batch.items()}
    smaller = Stepper(setup, setup.phases[0], programs, half)
    assert smaller.program.flops < 0.6 * usual.program.flops
    assert smaller.window(1) > 0


def test_what_stands_around_a_window_sees_the_timed_steps_alone(setup, monkeypatch):
    stepper, steps, seen = Stepper(setup, setup.phases[0], Programs()), [], []
    call = stepper.program.call

    @contextlib.contextmanager
    def around():
        seen.append(len(steps))
        yield
        seen.append(len(steps))

    program = dataclasses.replace(stepper.program, call=lambda *arguments: steps.append(1) or call(*arguments))
    monkeypatch.setattr(stepper, "program", program)
    stepper.window(4, warm_up=3, around=around())
    assert seen == [3, 7]
