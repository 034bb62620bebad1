"""What the host does between two steps: how long it takes, and a proof that none of it waits for the device."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tlj.training.clock import Clock
from tlj.training.compiled import initial_state, run_keys
from tlj.training.dues import Dues
from tlj.training.initial import start_variables
from tlj.training.programs import Program, Programs
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.stepping import IN_FLIGHT, Call, StepPrograms, Window, calls_from, take_call

# The device is held up for so long that a host that did not wait for it is done long before.
HELD_S = 1.0
_WIDTH = 192


class _Timed(StepPrograms):
    """The programs of a phase, with the seconds that handing a step over to the device takes."""

    seconds = 0.0

    def of(self, batch: dict[str, jax.Array], count: int, state: TrainState) -> Program:
        program = super().of(batch, count, state)

        def call(*arguments: Any) -> Any:
            begin = time.perf_counter()
            result = program.call(*arguments)
            self.seconds += time.perf_counter() - begin
            return result

        return dataclasses.replace(program, call=call)


class StepPath:
    """The step path of a run's first phase, as the loop takes it: input, the call, the window of metrics.

    Args:
      setup: of the run; all its steps are those of its first phase.
      programs: compiled programs to share.
    """

    def __init__(self, setup: Setup, programs: Programs):
        self._setup, self._clock = setup, Clock()
        variables, _ = start_variables(setup)
        self._state = initial_state(setup, setup.phases[0], variables, programs)
        self._rng, self._step = run_keys(setup.config["seed"], setup.config["prng"]), 0
        self._timed = _Timed(setup, setup.phases[0], 0, programs, self._clock)
        self._window = Window(self._clock, 0)

    def _take(self, call: Call, state: TrainState) -> TrainState:
        self._step += sum(count for count, _ in call)
        return take_call(call, state, self._rng, self._timed, self._window, lambda count, flops: None)

    def _rest(self, state: TrainState) -> None:
        """Ends the window, so that the next begins with an idle device."""
        self._window.end(self._step, state)
        self._state, self._timed.seconds = state, 0.0

    def measure(self, windows: int) -> dict[str, Any]:
        """Returns how the host spends its time per step, and whether it waited for a device that was held up.

        A window is as many calls as may be under way at a time: in a longer one the host would wait, and be timed.

        Args:
          windows: of the timing; medians over them.

        Returns:
          ``input_s`` (a batch read and put on the devices), ``take_call_s`` and, within it, ``dispatch_s`` (the program
          is called); ``held`` (``steps`` handed over in ``host_s`` while the device was held up for
          ``held_s``, and whether that ``waited`` for it).
        """
        setup = self._setup
        dues = Dues.of(setup.config, setup.phases)
        rows: list[dict[str, float]] = []
        with calls_from(setup, 0, dues) as calls:
            # The first call compiles.
            self._rest(self._take(next(calls), self._state))
            for _ in range(windows):
                rows.append(self._timed_window(calls, IN_FLIGHT))
            held = self._held_window(calls, IN_FLIGHT)
        return {**{name: statistics.median(row[name] for row in rows) for name in rows[0]}, "held": held}

    def _timed_window(self, calls: Any, count: int) -> dict[str, float]:
        state, before, waited, taken = self._state, self._step, 0.0, 0.0
        for _ in range(count):
            begin = time.perf_counter()
            call = next(calls)
            read = time.perf_counter()
            state = self._take(call, state)
            waited, taken = waited + read - begin, taken + time.perf_counter() - read
        dispatch, steps = self._timed.seconds, self._step - before
        self._rest(state)
        return {"input_s": waited / steps, "take_call_s": taken / steps, "dispatch_s": dispatch / steps}

    def _held_window(self, calls: Any, count: int) -> dict[str, Any]:
        """Takes calls while the device is busy with something else that they wait for."""
        hold = hold_up(self._state.step.sharding)
        step, still_held = hold(self._state.step)
        state, before, begin = self._state.replace(step=step), self._step, time.perf_counter()
        for _ in range(count):
            state = self._take(next(calls), state)
        host_s = time.perf_counter() - begin
        # Anything that had waited for one of these steps would have waited for what holds all of them up.
        waited = still_held.is_ready()
        jax.block_until_ready(still_held)
        held_s = time.perf_counter() - begin
        self._rest(state)
        return {"steps": self._step - before, "host_s": host_s, "held_s": held_s, "waited": bool(waited)}


def hold_up(sharding: jax.sharding.Sharding) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Returns a function that gives a step number back after ``HELD_S`` seconds of the device's time, and a token.

    The token is there when the number is, and not given away with it.

    Args:
      sharding: of the number.
    """

    def held(step: jax.Array, rounds: jax.Array) -> tuple[jax.Array, jax.Array]:
        # With a product in it: on a CPU, a program of simple operations alone is run by the thread that calls it.
        matrix = jnp.full((_WIDTH, _WIDTH), 1 / _WIDTH)
        product = jax.lax.fori_loop(0, rounds, lambda _, x: jnp.tanh(x @ matrix), matrix)
        token = jnp.where(jnp.isfinite(product).all(), 0, 1)
        return step + token, token

    compiled = jax.jit(held, out_shardings=(sharding, sharding))
    step, rounds = jax.device_put(np.int32(0), sharding), 20
    jax.block_until_ready(compiled(step, np.int32(rounds)))
    begin = time.perf_counter()
    jax.block_until_ready(compiled(step, np.int32(rounds)))
    rounds = int(rounds * max(1.0, HELD_S / (time.perf_counter() - begin)))
    return lambda step: compiled(step, np.int32(rounds))
