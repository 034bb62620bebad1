"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts finished units of work and says so; threads may report to it at once.

    Args:
      what: of the work, for example ``"150 runs"``.
      total: number of units.
    """

    def __init__(self, what: str, total: int):
        self._what, self._total, self._done = what, total, 0
        self._begin = self._last_line = time.monotonic()
        self._lock = threading.Lock()
        self._bar = self._task = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the bar while inside; without a terminal it prints a line every ten seconds and at the end."""
        if not sys.stderr.isatty():
            yield
            return
        # rich takes 50 ms to import, which a machine without a terminal need not spend.
        from rich import progress as bars
        from rich.console import Console

        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[last]}"),
        )
        with bars.Progress(*columns, console=Console(stderr=True)) as self._bar:
            self._task = self._bar.add_task(self._what, total=self._total, last="")
            yield

    def advance(self, units: int = 1, last: str = "") -> None:
        """Says that units of work are done.

        Args:
          units: how many.
          last: what the last one was, shown beside the bar.
        """
        with self._lock:
            self._done += units
            if self._bar is not None:
                self._bar.update(self._task, advance=units, last=last)
                return
            now = time.monotonic()
            if self._done == self._total or now - self._last_line >= SECONDS_BETWEEN_LINES:
                self._last_line = now
                seconds = now - self._begin
                line = f"{self._what}: {self._done}/{self._total} after {seconds:.0f} s {last}"
                print(line.rstrip(), file=sys.stderr, flush=True)
