"""What a stretch of steps needs: batches read ahead, the program for the shape of each, and windows of metrics."""

from __future__ import annotations

import collections
import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np

from tlj.data.ahead import Ahead
from tlj.freezing.phases import Phase
from tlj.training.clock import Clock
from tlj.training.compiled import shape_key, step_program
from tlj.training.dues import Dues
from tlj.training.parallel import calls_ahead
from tlj.training.programs import Program, Programs
from tlj.training.setup import Setup
from tlj.training.state import TrainState

# How many steps each program of a call takes, and the batches for it on the devices.
Call = Sequence[tuple[int, dict[str, jax.Array]]]
INPUT_WAIT = "input_wait"
# Calls that the host may be ahead of the devices: enough that they never wait, few enough that batches do not pile up.
IN_FLIGHT = 8
_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True, eq=False)
class _Stacked:
    """The batches of calls: those of one call stacked, where they are of one shape; travels to another process."""

    batches: grain.MapDataset
    calls: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.calls)

    def __getitem__(self, index: int) -> list[tuple[int, dict[str, np.ndarray]]]:
        first, count = self.calls[index]
        batches = [self.batches[step] for step in range(first, first + count)]
        if count == 1 or len({shape_key(batch) for batch in batches}) > 1:
            return [(1, batch) for batch in batches]
        return [(count, {name: np.stack([batch[name] for batch in batches]) for name in batches[0]})]


def calls_from(setup: Setup, step: int, dues: Dues) -> Ahead:
    """Returns the calls from a step on: lists of how many steps with the batches for them, on the devices.

    Two calls are read ahead where reading takes time.

    Args:
      setup: of the run.
      step: that it goes on from.
      dues: of the run.
    """
    wrapper = setup.wrapper
    return _ahead(
        setup,
        dues.calls(step, setup.config["steps_per_call"]),
        lambda call: [(count, wrapper.put(batch, count)) for count, batch in call],
        setup.config["data"]["workers"],
    )


def host_calls(setup: Setup, calls: Sequence[tuple[int, int]]) -> Ahead:
    """Returns calls as ``calls_from`` does, but with their batches still on the host, and read in this process.

    Args:
      setup: of the run.
      calls: the first step of each, and how many it takes.
    """
    return _ahead(setup, calls, lambda call: call, workers=0)


def _ahead(setup: Setup, calls: Sequence[tuple[int, int]], put: Callable[[Any], Any], workers: int) -> Ahead:
    # What is in memory is not worth sending to another process.
    in_memory = setup.training_reader.in_memory
    source = grain.MapDataset.source(_Stacked(setup.batches, calls))
    return Ahead(source, 0, put, workers=0 if in_memory else workers, threaded=not in_memory)


class StepPrograms:
    """The compiled steps of a phase: one for each shape of batch, compiled when the first such batch comes.

    Args:
      setup: of the run.
      phase: of the run.
      index: its number.
      programs: compiled programs to share.
      clock: of the run; what another run has compiled costs nothing.
    """

    def __init__(self, setup: Setup, phase: Phase, index: int, programs: Programs, clock: Clock):
        self._setup, self._phase, self._index, self._programs, self._clock = setup, phase, index, programs, clock
        self._known: dict[tuple[Any, ...], Program] = {}

    def of(self, batch: dict[str, jax.Array], count: int, state: TrainState) -> Program:
        """Returns the program that takes a batch, or several that are stacked.

        Args:
          batch: on the devices.
          count: steps that it is for.
          state: the one that the steps so far lead to.
        """
        key = (count, shape_key(batch))
        if key not in self._known:
            # What the device still does belongs to the window, and must not hide behind the compiler.
            jax.block_until_ready(state)
            with self._clock.pause("compile"):
                program, compiled = step_program(self._setup, self._phase, self._programs, batch, count)
            self._known[key] = program
            if compiled:
                self._clock.compiled(self._index, program.compile_s)
        return self._known[key]


class Window:
    """The metrics of the steps since the last line of ``metrics.jsonl``.

    Args:
      clock: of the run.
      phase: its number.
      cut: of ``cut``, where an earlier process began the window; empty where none did.
    """

    def __init__(self, clock: Clock, phase: int, cut: Mapping[str, Any] = _NOTHING):
        self._clock, self._phase = clock, phase
        self._ahead = calls_ahead(IN_FLIGHT)
        self._under_way: collections.deque[jax.Array] = collections.deque()
        self._begin(cut)

    def _begin(self, cut: Mapping[str, Any] = _NOTHING) -> None:
        self._pending: list[dict[str, Any]] = [_from_lists(cut)] if cut else []
        # Those of an earlier process are in the means, and their time in its own.
        self._earlier_steps = len(cut["accepted"]) if cut else 0
        self._steps, self._waited, self._runs = 0, self._clock.charged[INPUT_WAIT], 1
        self._under_way.clear()

    def add_share(self, metrics: dict[str, Any], count: int, runs: int) -> None:
        """Takes in the metrics of steps that were taken with those of other runs, and are over.

        Args:
          metrics: of every step, on the host.
          count: steps.
          runs: that had the device together, so that a time is a share of theirs.
        """
        self._pending.append(metrics)
        self._steps += count
        self._runs = max(self._runs, runs)

    def add(self, metrics: dict[str, Any], count: int) -> None:
        """Takes in the metrics of the steps of one call, which may still be under way."""
        self._pending.append(metrics)
        self._steps += count
        self._under_way.append(metrics["loss"])
        if len(self._under_way) > self._ahead:
            jax.block_until_ready(self._under_way.popleft())

    def end(self, step: int, state: Any) -> tuple[dict[str, Any], list[int]]:
        """Waits for the device and ends the window.

        Args:
          step: the last of the window.
          state: after it, or what else of it is to be waited for.

        Returns:
          The row for the log: means over the steps that were accepted, the time of a step, and the share of it spent
          on waiting for input; and the steps whose update was not accepted.
        """
        jax.block_until_ready(state)
        step_s, steps = self._clock.end(self._steps), self._steps
        begin = step - steps - self._earlier_steps
        waited = self._clock.charged[INPUT_WAIT] - self._waited
        timing = {"step_s": step_s, "input_wait_share": waited / (step_s * steps) if step_s else 0.0}
        if self._runs > 1:
            timing["batched_with"] = self._runs
            self._clock.batched_with = max(self._clock.batched_with, self._runs)
        with self._clock.pause("logging"):
            means, accepted = _means(self._pending)
        self._begin()
        return {"step": step, "phase": self._phase, **means, "timing": timing}, _rejected(accepted, begin)

    def cut(self, step: int, state: Any) -> tuple[dict[str, Any], list[int]]:
        """Waits for the device in the middle of a window, at which the process ends.

        Args:
          step: the last so far.
          state: after it.

        Returns:
          The metrics of its steps as JSON holds them, which the process that goes on begins with, so that its row is as
          if there had been one process; and the steps whose update was not accepted.
        """
        jax.block_until_ready(state)
        self._clock.end(self._steps)
        values = dict(_by_step(self._pending))
        begin = step - self._steps - self._earlier_steps
        return jax.tree.map(lambda of_steps: of_steps.tolist(), values), _rejected(values["accepted"], begin)


def take_call(
    call: Call,
    state: TrainState,
    rng: Mapping[str, jax.Array],
    programs: StepPrograms,
    window: Window,
    on_steps: Callable[[int, float], None],
) -> TrainState:
    """Takes the steps of a call: this is all that the host does between two steps, and nothing in it waits for one.

    Args:
      call: of ``calls_from``.
      state: before it.
      rng: of ``run_keys``.
      programs: of the phase.
      window: that the steps belong to.
      on_steps: told of each program how many steps it takes, and the FLOPs of a step.
    """
    for count, batch in call:
        program = programs.of(batch, count, state)
        state, metrics = program.call(state, batch, rng)
        window.add(metrics, count)
        on_steps(count, program.flops)
    return state


def _by_step(pending: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    rows = jax.device_get(list(pending))
    for name in rows[0]:
        joined = jax.tree.map(
            lambda *values: np.concatenate([np.atleast_1d(v) for v in values]), *(r[name] for r in rows)
        )
        yield name, joined


def _from_lists(cut: Mapping[str, Any]) -> dict[str, Any]:
    """What ``Window.cut`` gave, as the steps of one call; a float32 survives JSON bit for bit."""
    return {
        name: {group: np.asarray(rates, np.float32) for group, rates in values.items()}
        if isinstance(values, Mapping)
        else np.asarray(values, np.bool_ if name == "accepted" else np.float32)
        for name, values in cut.items()
    }


def _rejected(accepted: np.ndarray, begin: int) -> list[int]:
    """The steps that were not accepted, of those after a step."""
    return [begin + 1 + int(place) for place in np.flatnonzero(~accepted)]


def _means(pending: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], np.ndarray]:
    """The mean of each metric over the accepted steps, the learning rates of the last step, and which were accepted."""
    values = dict(_by_step(pending))
    accepted, rates = values.pop("accepted"), values.pop("learning_rate")
    counted = accepted if accepted.any() else np.ones_like(accepted)
    means = {name: float(np.mean(of_steps[counted], dtype=np.float64)) for name, of_steps in values.items()}
    means["learning_rate"] = {name: float(of_steps[-1]) for name, of_steps in rates.items()}
    if not accepted.all():
        means["skipped"] = int((~accepted).sum())
    return means, accepted
