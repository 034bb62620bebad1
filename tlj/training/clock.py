"""Honest time: windows of steps ended by one wait for the device, and everything else charged apart."""

from __future__ import annotations

import collections
import contextlib
import statistics
import time
from collections.abc import Iterator

SHORTEST_WINDOW = 20


class Clock:
    """Measures windows of steps, and what interrupts them.

    A pause (an evaluation, a checkpoint) is charged to its name and taken out of the window it falls in. A wait for
    input is charged to its name and left in: the device may have been busy meanwhile. Windows are kept by phase, whose
    steps differ, and none spans two.
    """

    def __init__(self) -> None:
        self.charged: collections.Counter[str] = collections.Counter()
        self.train_s = 0.0
        self._windows: dict[int, list[float]] = collections.defaultdict(list)
        self.begin_phase(0)

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
