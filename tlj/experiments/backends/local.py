"""Jobs as processes of this machine, so many at a time."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from tlj.errors import InputError
from tlj.experiments.backends.backend import Ended, Job

_SECONDS_BETWEEN_LOOKS = 0.05
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def accelerators_of(workers: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the accelerator of each worker, where there are several of both; else nothing is pinned.

    Those that the user made visible are counted, and no others: finding out which there are would take one of them.

    Args:
      workers: jobs at a time.
      environment: of this process.

    Raises:
      InputError: where there are more workers than accelerators.
    """
    visible = [name for name in environment.get(_VISIBLE, "").split(",") if name.strip()]
    if workers == 1 or len(visible) < 2:
        return ()
    if workers > len(visible):
        what = f"{workers} workers, and {_VISIBLE} names {len(visible)} accelerators"
        raise InputError(what, where="--workers", do=f"give {len(visible)} at most, each gets one of its own")
    return tuple(visible[:workers])


class LocalBackend:
    """Runs jobs as processes of this machine; see ``Backend``.

    Each is the leader of a process group of its own, so that Ctrl-C in a terminal reaches the sweep alone, which then
    tells them in order.

    Args:
      workers: jobs at a time. One by default: a run takes every core and every accelerator that it sees, and two on one
        accelerator compete for its memory, most of which JAX reserves when it starts.
      accelerators: of each worker, as ``CUDA_VISIBLE_DEVICES`` names them; none leaves that variable as it is.
    """

    def __init__(self, workers: int = 1, accelerators: Sequence[str] = ()):
        self._free = list(range(workers))
        self._accelerators = tuple(accelerators)
        self._queue: collections.deque[Job] = collections.deque()
        self._running: dict[str, tuple[subprocess.Popen, int]] = {}
        self._dropped: list[Ended] = []
        self._cancelled = False

    def submit(self, job: Job) -> None:
        """See ``Backend.submit``."""
        if self._cancelled:
            self._dropped.append(Ended(job.name, None))
            return
        self._queue.append(job)
        self._begin()

    def wait(self, seconds: float) -> list[Ended]:
        """See ``Backend.wait``."""
        deadline = time.monotonic() + seconds
        while not (ended := self._ended()):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, _SECONDS_BETWEEN_LOOKS))
        self._begin()
        return ended

    def cancel(self, *, kill: bool = False) -> None:
        """See ``Backend.cancel``."""
        self._cancelled = True
        self._dropped += [Ended(job.name, None) for job in self._queue]
        self._queue.clear()
        for process, _ in self._running.values():
            if process.poll() is not None:
                continue
            # It may be ending at this moment.
            with contextlib.suppress(ProcessLookupError):
                if kill:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    # To the leader alone: what it started, such as a reader of data, it needs while it saves.
                    process.send_signal(signal.SIGTERM)

    def _begin(self) -> None:
        while self._queue and self._free:
            job, worker = self._queue.popleft(), min(self._free)
            environment = {**os.environ, "PYTHONUNBUFFERED": "1", **job.environment}
            if self._accelerators:
                environment[_VISIBLE] = self._accelerators[worker]
            with job.log.open("ab") as log:
                process = subprocess.Popen(
                    job.command,
                    cwd=job.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            self._free.remove(worker)
            self._running[job.name] = process, worker

    def _ended(self) -> list[Ended]:
        ended, self._dropped = self._dropped, []
        for name, (process, worker) in list(self._running.items()):
            if (code := process.poll()) is not None:
                ended.append(Ended(name, code))
                del self._running[name]
                self._free.append(worker)
        return ended
