"""How much of the time the training loop waits for input: a short stretch of the real one, with the run's own data."""

from __future__ import annotations

import dataclasses
import math

from tlj.freezing.phases import Phase
from tlj.training.clock import SHORTEST_WINDOW, Clock
from tlj.training.compiled import initial_state, run_keys
from tlj.training.dues import Dues
from tlj.training.initial import run_variables
from tlj.training.programs import Programs
from tlj.training.setup import Setup
from tlj.training.stepping import INPUT_WAIT, StepPrograms, Window, calls_from, take_call

_WARM_UP_CALLS = 2


@dataclasses.dataclass(frozen=True)
class InputWait:
    """The share of a window that was spent on waiting for input, or None and why it is not known."""

    share: float | None
    reason: str | None = None


def input_wait(setup: Setup, phase: Phase, programs: Programs) -> InputWait:
    """Takes a window of steps as ``tlj train`` does, after some calls that do not count.

    Args:
      setup: of the run.
      phase: of the run.
      programs: compiled programs to share.
    """
    if setup.training_reader.by_length:
        return InputWait(None, "batches of several lengths, each with a program of its own")
    if setup.cached:
        return InputWait(None, "noise stood in for cached activations, which none were extracted of")
    setup, dues = _of_a_window(setup)
    clock = Clock()
    timed, window = StepPrograms(setup, phase, 0, programs, clock), Window(clock, 0)
    seed, adapters = setup.config["seed"], setup.settings.adapters
    variables, _ = run_variables("scratch", setup.spec, None, seed, adapters=adapters)
    state, rng, step = initial_state(setup, phase, variables, programs), run_keys(seed, setup.config["prng"]), 0
    del variables
    with calls_from(setup, 0, dues) as calls:
        for number in range(len(dues.calls(0, setup.config["steps_per_call"]))):
            with clock.charge(INPUT_WAIT):
                call = next(calls)
            state = take_call(call, state, rng, timed, window, lambda count, flops: None)
            step += sum(count for count, _ in call)
            if number == _WARM_UP_CALLS - 1:
                window.end(step, state)
        row, _ = window.end(step, state)
    return InputWait(row["timing"]["input_wait_share"])


def _of_a_window(setup: Setup) -> tuple[Setup, Dues]:
    """The run with as many steps as are taken here, and nothing else due in it."""
    per_call = setup.config["steps_per_call"]
    steps = per_call * (_WARM_UP_CALLS + math.ceil(SHORTEST_WINDOW / per_call))
    return dataclasses.replace(setup, config={**setup.config, "steps": steps}), Dues(steps, 0, 0, 0)
