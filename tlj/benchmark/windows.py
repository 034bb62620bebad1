"""Windows of steps: compiled steps timed in turns, each on one batch and from a fresh state."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from tlj.distributed import agree
from tlj.freezing.phases import Phase
from tlj.training.cached.extract import depths_of
from tlj.training.cached.parts import above
from tlj.training.cached.run import from_activations
from tlj.training.clock import SHORTEST_WINDOW
from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.initial import run_variables
from tlj.training.parallel import calls_ahead
from tlj.training.programs import Programs
from tlj.training.setup import Setup
from tlj.training.state import TrainState

WARM_UP = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """What was measured of one program.

    Attributes:
      seconds: per step, by window; windows of one index were taken in one round.
      steps: of each window.
    """

    seconds: Float[np.ndarray, " windows"]
    steps: int


class Stepper:
    """The compiled step of a phase and a batch for it, ready to be timed.

    A window begins with a state of its own and gives its memory back, so that however many programs take turns, one
    state is there at a time.

    Args:
      setup: of the run.
      phase: of the run.
      programs: compiled programs to share.
      batch: inputs, the rows of this process on the host; None is a usual one of the run, of whatever steps start from.
    """

    def __init__(self, setup: Setup, phase: Phase, programs: Programs, batch: Mapping[str, np.ndarray] | None = None):
        if batch is None:
            # Where a run starts from cached activations, noise stands in for them: nothing is extracted to be timed.
            setup = from_activations(setup, depths_of(setup)[setup.phases.index(phase)])
        self.setup, self.phase, self.programs = setup, phase, programs
        self._batch = setup.usual_batch if batch is None else batch
        self.program, _ = step_program(setup, phase, programs, self._batch)
        self._rng = run_keys(setup.config["seed"], setup.config["prng"])

    def window(
        self, steps: int, warm_up: int = WARM_UP, around: contextlib.AbstractContextManager[Any] | None = None
    ) -> float:
        """Takes steps that are not timed, then some that are, waits for the device once, and returns seconds per step.

        Args:
          steps: that are timed.
          warm_up: steps before them, which bring memory and caches into their usual state.
          around: a context for the timed steps alone.
        """
        # Every init is as fast as scratch, which needs no source to be read.
        seed, adapters = self.setup.config["seed"], self.setup.settings.adapters
        wrapper = self.setup.wrapper
        batch = wrapper.put(self._batch, 1)
        variables, _ = run_variables("scratch", self.setup.spec, None, seed, adapters=adapters)
        if self.setup.cached:
            variables = above(variables, self.setup.spec, self.setup.cached.depth)
        state = initial_state(self.setup, self.phase, variables, self.programs)
        del variables
        state = self._take(state, batch, warm_up)
        with around or contextlib.nullcontext():
            begin = time.perf_counter()
            self._take(state, batch, steps)
            return (time.perf_counter() - begin) / steps

    def _take(self, state: TrainState, batch: dict[str, jax.Array], steps: int) -> TrainState:
        """Takes steps and waits for the device at their end, and in between only where it could hang."""
        waits = not calls_ahead(steps)
        for _ in range(steps):
            state, _ = self.program.call(state, batch, self._rng)
            if waits:
                jax.block_until_ready(state)
        return jax.block_until_ready(state)

    def steps_of(self, seconds: float) -> int:
        """Returns how many steps a window of that length takes, at least those of the shortest window.

        Of several processes each measures its own, and all must take as many steps.
        """
        return agree(max(SHORTEST_WINDOW, math.ceil(seconds / self.window(1))))


def take_turns(steppers: Sequence[Stepper], windows: int, seconds: float = 0.0) -> list[Windows]:
    """Times each program over some windows; they take turns, so that a machine that slows down slows all of them.

    Args:
      steppers: what is timed.
      windows: of each.
      seconds: that a window lasts at least, where the shortest window of steps is shorter.
    """
    steps = [stepper.steps_of(seconds) if seconds else SHORTEST_WINDOW for stepper in steppers]
    rounds = [[stepper.window(length) for stepper, length in zip(steppers, steps, strict=True)] for _ in range(windows)]
    return [Windows(np.array(row), length) for row, length in zip(zip(*rounds, strict=True), steps, strict=True)]
