"""Batches on the devices before they are asked for: read in a thread, by worker processes behind it, or on demand."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any, Self

import grain
from absl import flags

from tlj.errors import RunError

_WORKER_DIED = "Worker process was terminated unexpectedly"


class WorkerDiedError(RunError):
    """A process that reads batches ended before its work did: killed, out of memory, or crashed."""


@dataclasses.dataclass(frozen=True)
class _Failure:
    error: BaseException


class Ahead:
    """The batches of a run from a step on, on the devices; use it in a ``with``, which ends its thread and processes.

    An error of reading comes out at the step that it belongs to, after the batches before it, and again if asked again.

    Args:
      batches: of the run, by step.
      first_step: of the first batch.
      put: puts a batch on the devices; called in the thread, in order.
      depth: most batches that are read or put before they are asked for; with worker processes, each of them may hold
        two more.
      workers: processes that read; they start when the first batch is asked for, which takes seconds.
      threaded: whether a thread reads ahead; without it, and without workers, a batch is read when it is asked for,
        which is cheapest where reading costs next to nothing.
    """

    def __init__(
        self,
        batches: grain.MapDataset,
        first_step: int,
        put: Callable[[Any], Any],
        *,
        depth: int = 2,
        workers: int = 0,
        threaded: bool = True,
    ):
        self._batches, self._first_step, self._put, self._workers = batches, first_step, put, workers
        self._next_step = first_step
        self._thread = threading.Thread(target=self._read_ahead, name="tlj-ahead", daemon=True)
        self._reads_ahead = threaded or workers > 0
        self._slots, self._ready = threading.Semaphore(depth), queue.SimpleQueue()
        self._stopped = threading.Event()
        self._failure: _Failure | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._failure:
            raise self._failure.error
        if self._stopped.is_set() or self._next_step >= len(self._batches):
            raise StopIteration
        batch = self._take() if self._reads_ahead else self._put(self._batches[self._next_step])
        self._next_step += 1
        return batch

    def _take(self) -> Any:
        if self._thread.ident is None:
            self._thread.start()
        batch = self._ready.get()
        self._slots.release()
        if isinstance(batch, _Failure):
            self._failure = batch
            raise batch.error
        return batch

    def _read_ahead(self) -> None:
        """Reads and puts batches into the queue, as many as there are free slots, to the end or until stopped."""
        try:
            with contextlib.closing(self._read()) as read:
                while self._slots.acquire() and not self._stopped.is_set():
                    self._ready.put(self._put(next(read)))
        except BaseException as error:
            self._ready.put(_Failure(_told(error)))

    def _read(self) -> Iterator[Any]:
        """The batches from the first on; what worker processes have is let go of when this is closed."""
        if not self._workers:
            for step in range(self._first_step, len(self._batches)):
                yield self._batches[step]
            return
        if not flags.FLAGS.is_parsed():
            # Grain reads flags of absl, which refuses before a command line was parsed; there may be none.
            flags.FLAGS.mark_as_parsed()
        # Ctrl-C goes to every process of a terminal; the first closes the others in order. What this thread does not
        # take its children never get, also before they have begun.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        # Without threads of their own the workers read one batch at a time, and no further ahead than their buffers.
        one_by_one = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        processes = grain.MultiprocessingOptions(num_workers=self._workers, per_worker_buffer_size=1)
        remaining = grain.MapDataset.source(_TellingErrors(self._batches[self._first_step :]))
        read = remaining.to_iter_dataset(one_by_one).mp_prefetch(processes, worker_init_fn=_begin_worker)
        with contextlib.closing(iter(read)) as batches:
            yield from batches

    def close(self) -> None:
        """Ends the thread and the processes, once they have read the batch that they are at."""
        self._stopped.set()
        self._slots.release()
        if self._thread.ident is not None:
            self._thread.join()
            self._drop_ready()

    def _drop_ready(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._ready.get_nowait()


@dataclasses.dataclass(frozen=True, eq=False)
class _TellingErrors:
    """Batches whose errors all reach another process: one that cannot be sent would be lost, and be waited for."""

    batches: grain.MapDataset

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> Any:
        try:
            return self.batches[step]
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                raise RuntimeError(f"{type(error).__name__}: {error}") from None
            raise


def _begin_worker(index: int, count: int) -> None:
    """Ties a worker process to the one that started it: it ends with that one, however that one ends."""
    starter = multiprocessing.parent_process()

    def end_with_starter() -> None:
        connection.wait([starter.sentinel])
        # The process may be waiting for a queue that nobody empties any more.
        os._exit(1)

    threading.Thread(target=end_with_starter, name="tlj-end-with-starter", daemon=True).start()


def _told(error: BaseException) -> BaseException:
    """The error to raise: Grain's own of a dead worker says nothing of what to do."""
    if not str(error).startswith(_WORKER_DIED):
        return error
    told = WorkerDiedError(
        f"a process that reads batches ended unexpectedly ({error}); run again to go on from the last checkpoint, "
        "with config.data.workers=0 to read in a thread"
    )
    told.__cause__ = error
    return told
