"""A stretch of several runs at once: one program for each step, and to every run its own share of what comes of it."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import time
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tlj.distributed import stop_requested
from tlj.training.compiled import shape_key, step_program
from tlj.training.parallel import calls_ahead
from tlj.training.programs import Programs
from tlj.training.state import TrainState
from tlj.training.stepping import IN_FLIGHT, INPUT_WAIT
from tlj.training.stretch import Steps, Stretch, Taken
from tlj.training.together.program import together_program
from tlj.training.together.reading import Orders, Part, calls_to
from tlj.training.together.stack import Commons, Joining, Stack, stacked


@dataclasses.dataclass(frozen=True, eq=False)
class Among:
    """The state of a run among those of others; see ``tlj.training.stretch.Held``."""

    stack: Stack
    place: int

    @property
    def state(self) -> TrainState:
        """See ``Held``; what is frozen may be the arrays of others."""
        return self.stack.state_of(self.place)

    @property
    def apart(self) -> TrainState:
        """See ``Held``."""
        return jax.tree.map(jnp.copy, self.state)

    @property
    def under_way(self) -> tuple[()]:
        """See ``Held``: whoever took the stretch has waited."""
        return ()


@dataclasses.dataclass(eq=False)
class Member:
    """A run that waits for its steps.

    Attributes:
      steps: of the run.
      asked: the steps that it waits for.
      key: its ``together_key``.
      order: its ``order_key``.
      since: when it began to wait, of ``time.perf_counter``; what was taken since then has its share.
    """

    steps: Steps[Any]
    asked: Stretch
    key: Hashable
    order: Hashable
    since: float

    def is_due(self, taken: Taken) -> bool:
        """Whether it goes on with what was taken: at the end of a window, or where it is to stop."""
        return taken.leaves or self.asked.stop.is_set() or self.asked.dues.ends_window(taken.step)


@dataclasses.dataclass
class _Course:
    """What a stretch is made of while it is under way."""

    stack: Stack
    asked: Sequence[Stretch]
    programs: Programs
    metrics: list[Any] = dataclasses.field(default_factory=list)
    flops: collections.Counter[float] = dataclasses.field(default_factory=collections.Counter)
    compile_s: float = 0.0
    waited_s: float = 0.0
    _known: dict[Any, tuple[Any, float]] = dataclasses.field(default_factory=dict)

    def program(self, part: Part, shared: bool) -> tuple[Any, float]:
        """The program of a part, and the FLOPs of a step of one run by itself."""
        count, one, batch = part
        known = (count, shape_key(one))
        if known not in self._known:
            # What the device still does belongs to the steps, and must not hide behind the compiler.
            jax.block_until_ready(self.stack.own)
            first, begin = self.asked[0], time.perf_counter()
            program, _ = together_program(first, self.stack, self.programs, batch, count, shared)
            by_itself, _ = step_program(first.setup, first.phase, self.programs, one, count)
            self._known[known] = program.call, by_itself.flops
            self.compile_s += time.perf_counter() - begin
        return self._known[known]


def take_together(members: Sequence[Member], commons: Commons, programs: Programs, most: int) -> list[Taken]:
    """Takes steps of several runs that are at one step, up to where the window of one of them ends.

    Args:
      members: the runs, of one ``together_key``.
      commons: of all runs that are trained together.
      programs: compiled programs to share.
      most: of ``experiments.batch_runs``.

    Returns:
      What it led to for each; where its own window has not ended, it is to be taken further.
    """
    asked = [member.asked for member in members]
    stack, places = _stack_of(members, commons, most)
    # A place whose run has left reads what a run reads that is there.
    readers = [members[places.index(place)] if place in places else members[0] for place in range(stack.places)]
    orders = Orders([member.asked for member in readers], [member.order for member in readers], stack.one_order)
    end = min(_end_of_window(one) for one in asked)
    course, step, leaves = _Course(stack, asked, programs), asked[0].step, False
    calls = calls_to(step, end, asked[0].setup.config["steps_per_call"])
    begin = time.perf_counter()
    with contextlib.closing(orders.calls(calls)) as read:
        for _, count in calls:
            _take_call(course, read, orders.shared)
            step += count
            leaves = stop_requested(step)
            if leaves or asked[0].stop.is_set():
                break
    jax.block_until_ready(stack.own)
    _share(course, members, places, time.perf_counter() - begin - course.compile_s)
    return [
        Taken(Among(stack, place), step, leaves and step < one.dues.steps)
        for one, place in zip(asked, places, strict=True)
    ]


def _stack_of(members: Sequence[Member], commons: Commons, most: int) -> tuple[Stack, list[int]]:
    """The stack that runs are in already, where they still fill a good part of it, or a new one; and their places."""
    asked = [member.asked for member in members]
    stacks = [one.held.stack if isinstance(one.held, Among) else None for one in asked]
    if stacks[0] is not None and all(stack is stacks[0] for stack in stacks) and 4 * len(asked) > stacks[0].places:
        return stacks[0], [one.held.place for one in asked]
    joining = [
        Joining(one.held.state, one.digests, one.rng, member.order, given=not isinstance(one.held, Among))
        for one, member in zip(asked, members, strict=True)
    ]
    return stacked(joining, asked[0].phase, asked[0].step, commons, most), list(range(len(asked)))


def _end_of_window(asked: Stretch) -> int:
    return next(step for step in itertools.count(asked.step + 1) if asked.dues.ends_window(step))


def _take_call(course: _Course, read: Any, shared: bool) -> None:
    begin, stack = time.perf_counter(), course.stack
    parts = next(read)
    course.waited_s += time.perf_counter() - begin
    for part in parts:
        count, _, batch = part
        call, flops = course.program(part, shared)
        stack.own, stack.step, metrics = call(stack.own, stack.step, batch, stack.common, stack.rng)
        course.metrics.append(metrics)
        course.flops[flops] += count
        if len(course.metrics) > (ahead := calls_ahead(IN_FLIGHT)):
            jax.block_until_ready(course.metrics[-1 - ahead]["loss"])


def _share(course: _Course, members: Sequence[Member], places: Sequence[int], steps_s: float) -> None:
    """Gives every run its metrics, its FLOPs, and its share of the time."""
    runs, steps = len(members), sum(course.flops.values())
    # By step and run, as one call of several steps has them already.
    joined = jax.tree.map(
        lambda *calls: np.concatenate([values.reshape(-1, values.shape[-1]) for values in calls]),
        *jax.device_get(course.metrics),
    )
    for member, place in zip(members, places, strict=True):
        asked = member.asked
        asked.window.add_share(jax.tree.map(lambda values, place=place: values[:, place], joined), steps, runs)
        asked.clock.charged[INPUT_WAIT] += course.waited_s / runs
        asked.clock.share(member.since, steps_s / runs, course.compile_s / runs)
        member.since = time.perf_counter()
        for flops, count in course.flops.items():
            asked.on_steps(count, flops)
