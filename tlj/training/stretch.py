"""The steps that a run asks for, stretch by stretch, and how they are taken for a run by itself."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import jax

from tlj.distributed import stop_requested
from tlj.freezing.phases import Phase
from tlj.training.clock import Clock
from tlj.training.dues import Dues
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.stepping import INPUT_WAIT, Call, StepPrograms, Window, take_call

T = TypeVar("T")


class Held(Protocol):
    """The state of a run, wherever it is kept."""

    @property
    def state(self) -> TrainState:
        """The state by itself; asked for before the next stretch begins, or never."""

    @property
    def apart(self) -> TrainState:
        """The same without any array that another run has, too: it may be given away."""

    @property
    def under_way(self) -> Any:
        """What the device may still be at; whoever takes the time waits for it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Own:
    """A state by itself."""

    state: TrainState

    @property
    def apart(self) -> TrainState:
        """See ``Held``."""
        return self.state

    @property
    def under_way(self) -> TrainState:
        """See ``Held``."""
        return self.state


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
    """Steps that a run asks for: from a state on, to the end of a window or to where something stops it.

    The state is given away with it.

    Attributes:
      setup: of the run.
      phase: that the steps are in.
      digests: of every parameter and statistic when the phase started.
      rng: of ``run_keys``.
      calls: that the steps fall into where the run is by itself, from the first stretch of the phase on.
      programs: for such calls.
      window: that takes in the metrics.
      clock: of the run.
      dues: of the run.
      on_steps: told how many steps were taken, and the FLOPs of one.
      stop: set to end the stretch at the next step.
      held: the state before the steps.
      step: that it is at.
    """

    setup: Setup
    phase: Phase
    digests: Mapping[str, str]
    rng: Mapping[str, jax.Array]
    calls: Iterator[Call]
    programs: StepPrograms
    window: Window
    clock: Clock
    dues: Dues
    on_steps: Callable[[int, float], None]
    stop: threading.Event
    held: Held
    step: int

    def after(self, held: Held, step: int) -> Stretch:
        """Returns the stretch that follows.

        Args:
          held: the state that this one led to.
          step: that it is at.
        """
        return dataclasses.replace(self, held=held, step=step)


@dataclasses.dataclass(frozen=True, eq=False)
class Taken:
    """What a stretch led to.

    Attributes:
      held: the state after it.
      step: that it is at.
      leaves: whether the process is to end here, in the middle of a run.
    """

    held: Held
    step: int
    leaves: bool = False


# A run, or a part of one, which asks for stretches, is sent what they led to, and returns what it came to.
Steps = Generator[Stretch, Taken, T]


def alone(steps: Steps[T]) -> T:
    """Takes the stretches of one run as they come.

    Args:
      steps: of the run; an error of a step comes out of it where it asked for the step.

    Returns:
      What it returns.
    """
    try:
        asked = next(steps)
        while True:
            try:
                taken = take_stretch(asked)
            except BaseException as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(taken)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()


def take_stretch(asked: Stretch) -> Taken:
    """Takes a stretch by itself; nothing waits for the device between two of its steps."""
    state, step = asked.held.state, asked.step
    while True:
        with asked.clock.charge(INPUT_WAIT):
            call = next(asked.calls)
        state = take_call(call, state, asked.rng, asked.programs, asked.window, asked.on_steps)
        step += sum(count for count, _ in call)
        leaves = stop_requested(step) and step < asked.dues.steps
        if leaves or asked.dues.ends_window(step) or asked.stop.is_set():
            return Taken(Own(state), step, leaves)
