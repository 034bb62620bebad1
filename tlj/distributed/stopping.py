"""When to stop after a notice: every process at the same one of its calls, whichever process was told."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Stopping:
    """Whether to stop, asked once per step by the loop of every process, which all ask equally often.

    One process stops at its next question. Among several, each says how often it has asked and does not go on until
    all have; then all stop at the question after the last that anybody asked. No process waits for another to get
    anywhere, so a collective that is under way always finishes.

    Args:
      tell: passes the first notice on to the others, which leads to ``halt`` and ``stop_at`` here; None where there are
        none.
    """

    def __init__(self, tell: Callable[[], None] | None = None):
        self._tell = tell
        self._asking = threading.Lock()
        self._asked = 0
        self.step = 0
        self._stop_at: int | None = None
        self._halted = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def alone(self) -> bool:
        """Whether there is no other process to agree with."""
        return self._tell is None

    def requested(self, step: int) -> bool:
        """Says whether to stop here, before the step after this one; once it has, it always does."""
        with self._asking:
            self.step = step
            self._asked += 1
            return self._stop_at is not None and self._asked >= self._stop_at

    def notice(self) -> None:
        """Takes a notice that this process has to end soon."""
        if self._tell is None:
            self.halt()
            self.stop_at(self._asked + 1)
        else:
            self._tell()

    def halt(self) -> int:
        """Lets no question be answered until ``stop_at``, by the same thread, and returns how many were."""
        if not self._halted:
            self._halted = True
            self._asking.acquire()
            for listener in self._listeners:
                listener()
        return self._asked

    def stop_at(self, asked: int) -> None:
        """Settles the question at which to stop."""
        if self._stop_at is None:
            self._stop_at = asked
            self._asking.release()

    def when_noticed(self, listener: Callable[[], None]) -> None:
        """Has a function called at the first notice, at once where there has been one."""
        with self._asking:
            if not self._halted:
                self._listeners.append(listener)
                return
        listener()
