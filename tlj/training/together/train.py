"""Runs that are trained together: each does all of its own, and their steps are taken at once wherever they can be."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from tlj.distributed import PreemptedError, stop_requested
from tlj.pretrained.initialise import reading_once
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import Programs
from tlj.training.read_order import order_key
from tlj.training.stretch import Steps, Stretch
from tlj.training.surroundings import StoppedError, Surroundings
from tlj.training.together.sameness import together_key
from tlj.training.together.stack import Commons
from tlj.training.together.take import Member, take_together


def train_together(runs: Sequence[Callable[[Surroundings], Steps[Any]]], most: int, shared: Surroundings) -> list[Any]:
    """Trains runs to their ends, those that are at one step of phases with one program together.

    A run that is behind, for it goes on from an earlier checkpoint, is taken first until it has caught up. A run that
    ends early leaves the others as they are; one whose loss is not finite fails by itself.

    Args:
      runs: each begins one in its surroundings, such as ``run_steps``.
      most: runs in one program.
      shared: what runs of this process share.

    Returns:
      What each returned, or the error of one whose loss was not finite.

    Raises:
      PreemptedError: if the process is to end, by SIGTERM; every run that had begun has written a checkpoint.
      StoppedError: if asked to stop.
      Exception: the first that a run raised, after the others have stopped.
    """
    shared = dataclasses.replace(shared, commons=Commons())
    company = _Company(most, shared.programs, shared.commons)
    try:
        with reading_once():
            for number, begin in enumerate(runs):
                if shared.stop.is_set():
                    raise StoppedError
                if stop_requested(0):
                    raise PreemptedError("not begun, by SIGTERM; run the same command again to go on")
                steps = begin(shared)
                company.go_on(number, steps, functools.partial(next, steps))
        while company.waiting:
            company.take()
    finally:
        company.dismiss()
    if company.left:
        raise company.left[0]
    return [company.results[number] for number in range(len(runs))]


class _Company:
    """Runs that are trained together."""

    def __init__(self, most: int, programs: Programs, commons: Commons):
        self._most, self._programs, self._commons = most, programs, commons
        self.waiting: dict[int, Member] = {}
        self.results: dict[int, Any] = {}
        self.left: list[Exception] = []

    def go_on(self, number: int, steps: Steps[Any], action: Callable[[], Stretch]) -> None:
        """Has a run go on up to its next steps."""
        try:
            asked = action()
        except StopIteration as end:
            self.results[number] = end.value
        except NonFiniteError as error:
            self.results[number] = error
        except (PreemptedError, StoppedError) as error:
            # The others do as it did, each at its own next step.
            self.left.append(error)
        else:
            keys = together_key(asked.setup, asked.phase), order_key(asked.setup)
            self.waiting[number] = Member(steps, asked, *keys, time.perf_counter())

    def take(self) -> None:
        """Takes steps of those that are furthest behind, and has those go on whose window has ended."""
        step = min(member.asked.step for member in self.waiting.values())
        behind = {number: member for number, member in self.waiting.items() if member.asked.step == step}
        key = next(iter(behind.values())).key
        group = {number: member for number, member in behind.items() if member.key == key}
        members = list(group.values())
        try:
            taken = take_together(members, self._commons, self._programs, self._most)
        except BaseException as error:
            # It comes out of a run, as it would if that were by itself, which closes its files.
            del self.waiting[next(iter(group))]
            members[0].steps.throw(error)
            raise
        for member, found in zip(members, taken, strict=True):
            member.asked = member.asked.after(found.held, found.step)
        for (number, member), found in zip(group.items(), taken, strict=True):
            if member.is_due(found):
                del self.waiting[number]
                member.asked.clock.share(member.since)
                self.go_on(number, member.steps, functools.partial(member.steps.send, found))

    def dismiss(self) -> None:
        """Stops the runs that still wait where something went wrong."""
        for member in self.waiting.values():
            with contextlib.suppress(StoppedError):
                member.steps.throw(StoppedError())
        self.waiting.clear()
