"""Honest time: windows of steps ended by one wait for the device, and everything else charged apart."""

from __future__ import annotations

import collections
import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

SHORTEST_WINDOW = 20
# Windows of a phase that are remembered, the latest; their median is that of a day of training as well as of a week.
MOST_WINDOWS = 1000


class Clock:
    """Measures windows of steps, and what interrupts them.

    A pause (an evaluation, a checkpoint) is charged to its name and taken out of the window it falls in. A wait for
    input is charged to its name and left in: the device may have been busy meanwhile. Windows are kept by phase, whose
    steps differ, and none spans two. What a checkpoint holds of it goes on in the process that restores it.

    Attributes:
      charged: seconds by name.
      train_s: seconds of all windows.
      batched_with: the most runs that were trained in one program, this one counted.
      compile_s: seconds of compilation by phase.
    """

    def __init__(self) -> None:
        self.charged: collections.Counter[str] = collections.Counter()
        self.train_s, self.batched_with = 0.0, 1
        self.compile_s: collections.Counter[int] = collections.Counter()
        self._windows: dict[int, collections.deque[float]] = collections.defaultdict(_few)
        self._started, self._earlier_s, self._others_s = time.perf_counter(), 0.0, 0.0
        self.begin_phase(0)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns a clock that goes on from what ``to_json`` gave; an empty mapping is a clock that begins."""
        clock = cls()
        if content:
            clock.charged.update(content["charged"])
            clock.train_s, clock._earlier_s = content["train_s"], content["wall_s"]
            clock.batched_with = content.get("batched_with", 1)
            clock.compile_s.update({int(index): seconds for index, seconds in content["compile_s"].items()})
            for index, windows in content["windows"].items():
                clock._windows[int(index)].extend(windows)
        return clock

    def to_json(self) -> dict[str, Any]:
        """Returns what was measured so far, as JSON holds it."""
        return {
            "charged": dict(self.charged),
            "train_s": self.train_s,
            "wall_s": self.wall_s,
            "compile_s": {str(index): seconds for index, seconds in self.compile_s.items()},
            "windows": {str(index): list(windows) for index, windows in self._windows.items()},
            **({"batched_with": self.batched_with} if self.batched_with > 1 else {}),
        }

    @property
    def wall_s(self) -> float:
        """Seconds since the run began, those of earlier processes up to their last checkpoint included."""
        return self._earlier_s + time.perf_counter() - self._started - self._others_s

    def compiled(self, index: int, seconds: float) -> None:
        """Takes in seconds that were spent on compiling for a phase."""
        self.compile_s[index] += seconds

    def begin_phase(self, index: int) -> None:
        """Begins the first window of a phase now; a window of the phase before that is not long enough is dropped."""
        self._phase, self._steps, self._seconds = index, 0, 0.0
        self.begin()

    def begin(self) -> None:
        """Begins a window now."""
        self._begin, self._paused = time.perf_counter(), 0.0

    def end(self, steps: int) -> float:
        """Ends a stretch of steps; the caller has waited for the device. Returns its seconds per step, begins the next.

        Stretches are joined until they make a window of ``SHORTEST_WINDOW`` steps.
        """
        seconds = time.perf_counter() - self._begin - self._paused
        self.train_s += seconds
        self._steps, self._seconds = self._steps + steps, self._seconds + seconds
        if self._steps >= SHORTEST_WINDOW:
            self._windows[self._phase].append(self._seconds / self._steps)
            self._steps, self._seconds = 0, 0.0
        self.begin()
        return seconds / steps

    def share(self, since: float, steps_s: float = 0.0, compile_s: float = 0.0) -> None:
        """Takes the time since a moment for that of other runs, but for this run's share of it.

        Args:
          since: of ``time.perf_counter``; where the run began to wait for others.
          steps_s: of that time, what its own steps took: in the window.
          compile_s: what was compiled for it: charged, and out of the window.
        """
        others_s = time.perf_counter() - since - steps_s - compile_s
        self._others_s += others_s
        self._paused += others_s + compile_s
        self.charged["compile"] += compile_s
        if compile_s:
            self.compile_s[self._phase] += compile_s

    @contextlib.contextmanager
    def pause(self, name: str) -> Iterator[None]:
        """Charges what happens inside to ``name`` and takes it out of the window."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            self.charged[name] += seconds
            self._paused += seconds

    @contextlib.contextmanager
    def charge(self, name: str) -> Iterator[None]:
        """Charges what happens inside to ``name`` and leaves it in the window."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.charged[name] += time.perf_counter() - begin

    def step_s(self, phase: int | None = None) -> float | None:
        """Returns the median seconds per step over the windows of a phase, or of all; None where there is none."""
        windows = [s for index, listed in self._windows.items() if phase in (None, index) for s in listed]
        return statistics.median(windows) if windows else None


def _few() -> collections.deque[float]:
    return collections.deque(maxlen=MOST_WINDOWS)
