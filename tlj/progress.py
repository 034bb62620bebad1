"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from tlj.distributed import is_main
from tlj.errors import one_line
from tlj.progress_line import Standing, log_line, terminal_line

# A rate is that of the last ten minutes: it follows what a thaw changes, and evens out evaluations and checkpoints.
SECONDS_BETWEEN_SAMPLES, SAMPLES = 10.0, 60


def say(text: str) -> None:
    """Writes one line to standard error, above the bar where there is one; a log that cannot be written ends no work.

    Of several processes only the main one does, or each line would come from all.

    Args:
      text: what happened.
    """
    if not is_main():
        return
    # In one piece, so that the lines of several threads do not mix.
    with contextlib.suppress(OSError):
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()


class Progress:
    """Counts finished units of work and says so; threads may report to it at once.

    Args:
      what: of the work, for example ``"150 runs"``.
      total: number of units.
      unit: word before the count, such as ``"step"``.
      warms_up: whether the first unit says nothing of the others' pace, as it waits for a compiler.
      seconds_between_lines: at least, where there is no terminal.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        unit: str = "",
        warms_up: bool = False,
        seconds_between_lines: float = 10.0,
    ):
        self._what, self._total, self._unit = one_line(what), total, unit
        self._warms_up, self._seconds_between_lines = warms_up, seconds_between_lines
        self._lock = threading.Lock()
        self._has_bar = False
        self._facts: tuple[str, ...] = ()
        self._start(0)

    def _start(self, done: int) -> None:
        self._begin = self._last_line = self._advanced = time.monotonic()
        self._done = self._said = done
        first = [] if self._warms_up else [(self._begin, done)]
        self._samples: collections.deque[tuple[float, int]] = collections.deque(first, SAMPLES)

    def begin(self, done: int) -> None:
        """Says that work begins now, with units done before that count as done and not into the pace.

        Args:
          done: by an earlier process.
        """
        with self._lock:
            self._start(done)

    def describe(self, facts: Sequence[str]) -> None:
        """Sets what is shown beside the count, the most important first."""
        self._facts = tuple(one_line(fact) for fact in facts)

    def advance(self, units: int = 1, last: str = "") -> None:
        """Says that units of work are done.

        Args:
          units: how many.
          last: what the last one was, shown beside the count.
        """
        if last:
            self.describe([last])
        with self._lock:
            self._done += units
            now = self._advanced = time.monotonic()
            if not self._samples or now - self._samples[-1][0] >= SECONDS_BETWEEN_SAMPLES:
                self._samples.append((now, self._done))
            if not self._has_bar and (
                self._done == self._total or now - self._last_line >= self._seconds_between_lines
            ):
                self._say_standing(now)

    def _say_standing(self, now: float) -> None:
        self._last_line, self._said = now, self._done
        say(log_line(self._standing(now)))

    def _standing(self, now: float) -> Standing:
        left = None
        if self._samples:
            begin, before = self._samples[0]
            units, seconds = self._done - before, self._advanced - begin
            if units > 0 and seconds > 0:
                left = max((self._total - self._done) * seconds / units - (now - self._advanced), 0.0)
        count = f"{self._unit} {self._done}/{self._total}".lstrip()
        share = self._done / self._total if self._total else 1.0
        return Standing(self._what, count, share, now - self._begin, left, self._facts)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the bar while inside; without a terminal it prints a line now and then, and at the end."""
        if is_main() and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            with self._bar():
                yield
            return
        try:
            yield
        finally:
            with self._lock:
                # Work that is stopped early ends with a line as well, and work that was done already says nothing.
                if self._done != self._said:
                    self._say_standing(time.monotonic())

    @contextlib.contextmanager
    def _bar(self) -> Iterator[None]:
        # rich takes 50 ms to import, which a machine without a terminal need not spend.
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(file=sys.stderr)

        def render() -> Text:
            with self._lock:
                standing = self._standing(time.monotonic())
            ascii_only = console.options.ascii_only
            line = terminal_line(standing, console.width, ascii_only=ascii_only)
            return Text(line, no_wrap=True, overflow="crop")

        # What goes to standard output stays there, unless it is this terminal.
        live = Live(console=console, get_renderable=render, redirect_stdout=sys.stdout.isatty())
        with live:
            self._has_bar = True
            try:
                yield
            finally:
                self._has_bar = False
