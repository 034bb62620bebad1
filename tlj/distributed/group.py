"""The connections among the processes that train together: they agree, wait for each other, stop and end together."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from tlj.distributed.place import Place
from tlj.distributed.preemption import SAVED_AND_STOPPED, say, say_and_exit
from tlj.distributed.stopping import Stopping
from tlj.distributed.wire import Wire
from tlj.errors import RunError

_TO_END = 10.0
"""Seconds that a process has to end by itself after another ended with an error."""


class Group:
    """This process's connections to the others, and what is said over them.

    Args:
      place: of this process.
      wires: to every other process from process 0, and from every other to process 0.
    """

    def __init__(self, place: Place, wires: Mapping[int, Wire]):
        self.place = place
        self.stopping = Stopping(lambda: self._to_main({"stop": True}))
        self._wires = wires
        self._shared: queue.SimpleQueue = queue.SimpleQueue()
        self._arrivals: queue.SimpleQueue = queue.SimpleQueue()
        self._asked: dict[int, int] = {}
        self._said_goodbye: set[int] = set()
        self._gone = {process: threading.Event() for process in wires}
        self._bad_news = threading.Event()
        self._news = ""
        self._is_ending = False
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._handle, name="tlj-peers", daemon=True).start()
        for process in wires:
            threading.Thread(target=self._hear, args=[process], name=f"tlj-peer-{process}", daemon=True).start()

    def share(self, value: Any) -> Any:
        """Returns the value of process 0."""
        if self.place.process == 0:
            self._say({"value": value})
            return value
        return self._next("value")

    def wait(self, name: str) -> None:
        """Waits until every process has come to the same place."""
        if self.place.process != 0:
            self._say({"arrived": name})
            self._check(name, self._next("open"))
            return
        arrived = [self._arrivals.get() for _ in self._wires]
        self._say({"open": name})
        for theirs in arrived:
            self._check(name, theirs)

    def stop_if_another_has(self) -> None:
        """Does not return where another process has died or failed, but ends this one with a line that says so."""
        if self._bad_news.wait(1.0):
            self._stop()

    def end(self, code: int) -> None:
        """Ends what the processes do together, and with an error also this process.

        Args:
          code: exit code of this process.
        """
        if code in (0, SAVED_AND_STOPPED):
            self.wait("end")
            import jax

            jax.distributed.shutdown()
            self._say({"end": True})
            return
        self._is_ending = True
        self._say({"failed": self.place.process})
        self._wait_for_others(_TO_END + 5 if self.place.process == 0 else 0)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

    def _say(self, message: Mapping[str, Any], but: int | None = None) -> None:
        for process, wire in self._wires.items():
            if process != but:
                wire.say(message)

    def _to_main(self, message: Mapping[str, Any]) -> None:
        """Sends a message to process 0, which may be this one."""
        if self.place.process == 0:
            self._inbox.put((0, message))
        else:
            self._say(message)

    def _next(self, kind: str) -> Any:
        message = self._shared.get()
        if kind not in message:
            raise RunError(f"the processes have come apart: process 0 said {next(iter(message))} and not {kind}")
        return message[kind]

    def _check(self, name: str, theirs: str) -> None:
        if name != theirs:
            raise RunError(f"the processes have come apart: one waits at {theirs!r}, another at {name!r}")

    def _hear(self, process: int) -> None:
        """Passes on what another process says, until it ends."""
        while (message := self._wires[process].hear()) is not None:
            self._inbox.put((process, message))
        self._gone[process].set()
        self._inbox.put((process, {"gone": process}))

    def _handle(self) -> None:
        """Acts on what the others say, one message at a time."""
        while True:
            process, message = self._inbox.get()
            match message:
                case {"value": _} | {"open": _}:
                    self._shared.put(message)
                case {"arrived": name}:
                    self._arrivals.put(name)
                case {"stop": _}:
                    if not self._asked:
                        self._say({"halt": True})
                        self._settle(0, self.stopping.halt())
                case {"halt": _}:
                    self._say({"asked": self.stopping.halt()})
                case {"asked": asked}:
                    self._settle(process, asked)
                case {"stop_at": asked}:
                    self.stopping.stop_at(asked)
                case {"end": _}:
                    self._said_goodbye.add(process)
                case {"failed": failed}:
                    self._end_after(failed, process)
                case {"gone": gone} | {"lost": gone}:
                    self._lose(gone, process)

    def _settle(self, process: int, asked: int) -> None:
        """On process 0: notes how often a process has asked whether to stop, and decides when all are known."""
        self._asked[process] = asked
        if len(self._asked) == self.place.processes:
            stop_at = max(self._asked.values()) + 1
            self._say({"stop_at": stop_at})
            self.stopping.stop_at(stop_at)

    def _end_after(self, failed: int, heard_from: int) -> None:
        """Gives this process some time to come upon the same error, and then ends it."""
        self._said_goodbye.add(heard_from)
        self._say({"failed": failed}, but=heard_from)
        self._hear_bad_news(f"process {failed} of {self.place.processes} stopped with an error, see what it wrote")
        timer = threading.Timer(_TO_END, self._stop)
        timer.daemon = True
        timer.start()

    def _lose(self, gone: int, heard_from: int) -> None:
        """Ends this process because another has died: nothing that they do together can go on."""
        if heard_from not in self._said_goodbye and not self._is_ending:
            self._said_goodbye.add(heard_from)
            self._say({"lost": gone}, but=heard_from)
            self._hear_bad_news(f"process {gone} of {self.place.processes} died, or its machine did")
            self._stop()

    def _hear_bad_news(self, news: str) -> None:
        self._news = self._news or news
        self._bad_news.set()

    def _stop(self) -> NoReturn:
        line = f"{self._news}; this one stops too: run the same command again to resume"
        if self.place.process == 0:
            # JAX aborts the others, with a stack dump, as soon as process 0 is gone.
            say(line)
            self._wait_for_others(2.0)
            os._exit(1)
        say_and_exit(line, 1)

    def _wait_for_others(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for gone in self._gone.values():
            gone.wait(max(deadline - time.monotonic(), 0))
