"""SIGTERM: a notice that the machine is about to be taken away, after which a run saves and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import NoReturn

from tlj.distributed.stopping import Stopping
from tlj.errors import RunError

SAVED_AND_STOPPED = 75
"""EX_TEMPFAIL: the same command, run again, goes on where this one stopped."""

_stopping = Stopping()


class PreemptedError(RunError):
    """The run was stopped by SIGTERM and has saved what it had; the command line exits with 75."""


def stop_requested(step: int) -> bool:
    """Says whether the loop has to stop before its next step; all processes are told at the same call.

    Every process calls it equally often: they are counted by calls, as several runs may have the same steps. A call
    takes a quarter of a microsecond.

    Args:
      step: that the run is at.
    """
    return _stopping.requested(step)


def use_stopping(stopping: Stopping) -> None:
    """Sets whom ``stop_requested`` asks: the agreement of several processes, or a new one of this process."""
    global _stopping
    _stopping = stopping


@contextlib.contextmanager
def watch_for_preemption(deadline: float) -> Iterator[None]:
    """Turns SIGTERM into a request to stop, and ends the process where it does not stop in time.

    Within another such context, or outside the main thread, which alone can take signals, it does nothing.

    Args:
      deadline: seconds after the notice, its own or that of another process, after which the process is ended with exit
        code 75, whatever it is doing.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is _ignore:
        yield
        return
    if _stopping.alone:
        use_stopping(Stopping())
    timer = threading.Timer(deadline, _give_up, [deadline, _stopping])
    timer.daemon = True
    _stopping.when_noticed(timer.start)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    # Python runs a handler between two of its instructions, and a compilation or a collective is one that may take
    # minutes. The wakeup descriptor is written at once, and a thread reads it.
    listener = threading.Thread(target=_listen, args=[ours, _stopping], name="tlj-sigterm", daemon=True)
    listener.start()
    before = signal.signal(signal.SIGTERM, _ignore)
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        theirs.close()
        listener.join()
        ours.close()
        timer.cancel()
        if _stopping.alone:
            use_stopping(Stopping())


def _ignore(number: int, frame: object) -> None:
    """The handler of SIGTERM: what is to be done, the listening thread does."""


def _listen(wakeups: socket.socket, stopping: Stopping) -> None:
    """Passes on every SIGTERM among the signals, each of which comes as a byte, its number."""
    while numbers := wakeups.recv(64):
        if signal.SIGTERM in numbers:
            stopping.notice()


def _give_up(deadline: float, stopping: Stopping) -> None:
    line = (
        f"not stopped {deadline:g} s after SIGTERM, at step {stopping.step}: ended without saving; run again to resume"
    )
    say_and_exit(line, SAVED_AND_STOPPED)


def say(line: str) -> None:
    """Writes one line to the error stream, from any thread."""
    # The main thread may hold the lock of sys.stderr, or be in the middle of a line of progress.
    os.write(2, f"tlj: {line}\n".encode())


def say_and_exit(line: str, code: int) -> NoReturn:
    """Ends the process at once, from any thread, with one line on the error stream."""
    say(line)
    os._exit(code)
