"""Batches read ahead: the same whoever reads them, errors where they belong, and nothing left behind."""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tlj.data.ahead import Ahead, WorkerDiedError
from tlj.data.pipeline import training_batches
from tlj.data.sources import open_source
from tlj.errors import InputError

STEPS = 12


class UnsendableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Numbers:
    """A reader whose batch says which examples it holds; at one of them it raises what ``error`` makes."""

    preprocessing, in_memory = None, True

    def __init__(self, failing=None, error=None, seconds=0.0):
        self.failing, self.error, self.seconds = failing, error, seconds
        self.read, self.by_length, self.lengths = [], False, None

    def __getstate__(self):
        return {**vars(self), "read": []}

    def batch(self, indices, rows=slice(None)):
        self.read.append(threading.current_thread().name)
        time.sleep(self.seconds)
        if self.failing in indices:
            raise self.error()
        return {"label": indices[rows].astype(np.int32), "image": np.tile(indices[rows, None], 50)}


def batches_of(reader, steps=STEPS, count=24):
    return training_batches(reader, np.arange(count), batch_size=4, seed=0, steps=steps)


def same(batch):
    return batch


def new_threads(before):
    # Grain keeps one pool in the process that frees shared memory.
    return [
        t.name
        for t in threading.enumerate()
        if t not in before and "(worker)" not in t.name and "_handle_" not in t.name
    ]


@pytest.fixture(autouse=True)
def nothing_stays():
    """After each test there are the threads and processes that there were."""
    before = set(threading.enumerate())
    yield
    # Grain tells its threads to end, and does not wait for them.
    deadline = time.monotonic() + 5
    while new_threads(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert new_threads(before) == []
    assert multiprocessing.active_children() == []


def assert_are(found, batches, steps):
    found = list(found)
    assert len(found) == len(steps)
    for batch, step in zip(found, steps, strict=True):
        for name, wanted in batches[step].items():
            np.testing.assert_array_equal(batch[name], wanted)


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("first", [0, 1, 7, 11, 12])
def test_batches_come_in_order_from_the_first_step_on(threaded, first):
    batches = batches_of(open_source("digits:5-9"))
    with Ahead(batches, first, same, threaded=threaded) as ahead:
        assert_are(ahead, batches, range(first, STEPS))
        assert next(ahead, "the end") == "the end"


def test_worker_processes_read_the_same_batches_also_balanced_and_by_length():
    reader = Numbers()
    reader.by_length, reader.lengths = True, np.arange(24) % 7
    options = dict(batch_size=4, seed=0, steps=STEPS, balance="sample", labels=np.arange(24) % 3)
    batches = training_batches(reader, np.arange(24), **options)
    with Ahead(batches, 2, same, workers=4) as ahead:
        assert_are(ahead, batches, range(2, STEPS))


def test_batches_are_put_on_the_devices_in_order_in_the_thread():
    import jax

    put = []

    def on_devices(batch):
        put.append((threading.current_thread().name, batch["label"].tolist()))
        return jax.device_put(batch)

    batches = batches_of(Numbers())
    with Ahead(batches, 2, on_devices) as ahead:
        found = list(ahead)
    assert all(isinstance(batch["label"], jax.Array) for batch in found)
    assert put == [("tlj-ahead", batches[step]["label"].tolist()) for step in range(2, STEPS)]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_no_more_than_depth_batches_are_read_before_they_are_asked_for(depth):
    reader = Numbers()
    with Ahead(batches_of(reader), 0, same, depth=depth) as ahead:
        for taken in range(1, 5):
            next(ahead)
            deadline = time.monotonic() + 5
            while len(reader.read) < taken + depth and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(0.02)
            assert len(reader.read) == taken + depth


def test_without_a_thread_a_batch_is_read_when_it_is_asked_for():
    reader = Numbers()
    with Ahead(batches_of(reader), 0, same, threaded=False) as ahead:
        assert reader.read == []
        next(ahead)
        assert reader.read == [threading.current_thread().name]


def test_a_thread_reads_while_the_caller_works():
    reader = Numbers(seconds=0.02)
    with Ahead(batches_of(reader), 0, same) as ahead:
        next(ahead)
        time.sleep(0.2)
        begin = time.perf_counter()
        next(ahead), next(ahead)
        assert time.perf_counter() - begin < 0.02


@pytest.mark.parametrize(("threaded", "workers"), [(True, 0), (False, 0), (True, 2)])
def test_an_error_comes_out_at_its_step_after_the_batches_before_it_and_again_when_asked_again(threaded, workers):
    # The last example of the first epoch, so that its step is not the first.
    example = int(batches_of(Numbers())[5]["label"][-1])
    error = functools.partial(InputError, "the file is gone", where=f"{example}.png", do="bring it back")
    with Ahead(batches_of(Numbers(example, error)), 1, same, threaded=threaded, workers=workers) as ahead:
        assert_are([next(ahead) for _ in range(4)], batches_of(Numbers()), range(1, 5))
        for _ in range(2):
            with pytest.raises(InputError, match=r"\.png: the file is gone; bring it back") as caught:
                next(ahead)
        assert caught.value.where == f"{example}.png"


def test_an_error_that_cannot_be_sent_from_a_worker_is_told_in_words():
    with (
        Ahead(batches_of(Numbers(3, functools.partial(UnsendableError, "one", "two"))), 0, same, workers=1) as ahead,
        pytest.raises(RuntimeError, match="UnsendableError: one and two"),
    ):
        list(ahead)


def test_an_error_of_putting_comes_out_too():
    def put(batch):
        raise ValueError("no room on the device")

    with Ahead(batches_of(Numbers()), 0, put) as ahead, pytest.raises(ValueError, match="no room"):
        next(ahead)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_consumer_that_stops_midway_leaves_no_thread(taken):
    ahead = Ahead(batches_of(Numbers(seconds=0.01), steps=10**6), 0, same)
    for _ in range(taken):
        next(ahead)
    begin = time.perf_counter()
    ahead.close()
    assert "tlj-ahead" not in [thread.name for thread in threading.enumerate()]
    assert time.perf_counter() - begin < 1
    assert next(ahead, "the end") == "the end"
    ahead.close()


def test_an_error_of_the_consumer_ends_thread_and_processes():
    stopped = []

    def consume():
        with Ahead(batches_of(Numbers(), steps=10**6), 0, same, workers=2) as ahead:
            next(ahead)
            stopped.append(time.perf_counter())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert time.perf_counter() - stopped[0] < 5


def test_an_interrupt_does_not_reach_a_worker_not_even_while_it_starts():
    batches = batches_of(Numbers(), steps=10**6)
    with Ahead(batches, 0, same, workers=1) as ahead:
        first = []
        asking = threading.Thread(target=lambda: first.append(next(ahead)))
        asking.start()
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        os.kill(children[0].pid, signal.SIGINT)
        asking.join()
        assert_are(first, batches, [0])
        os.kill(children[0].pid, signal.SIGINT)
        assert_are((next(ahead) for _ in range(8)), batches, range(1, 9))


def test_a_killed_worker_is_an_error_within_seconds():
    with Ahead(batches_of(Numbers(), steps=10**6), 0, same, workers=2) as ahead:
        next(ahead)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        begin = time.perf_counter()
        with pytest.raises(WorkerDiedError, match=r"exit code -9.*config\.data\.workers=0"):
            list(zip(ahead, range(1000), strict=False))
        assert time.perf_counter() - begin < 20


KILLED = """
import multiprocessing, os, signal
import numpy as np
from tlj.data.ahead import Ahead
from tlj.data.pipeline import training_batches
from tlj.data.sources import open_source

if __name__ == "__main__":
    batches = training_batches(open_source("synthetic:8x2"), np.arange(40), batch_size=4, seed=0, steps=10**6)
    next(Ahead(batches, 0, lambda batch: batch, workers=1))
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        # Nobody may wait for an orphan in a container: it has ended all the same.
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    with open(tmp_path / "pids", "w") as pids:
        # Not a pipe: what waits for its end would wait for the workers too.
        subprocess.run(
            [sys.executable, str(tmp_path / "killed.py")], stdout=pids, stderr=subprocess.DEVNULL, timeout=60
        )
    workers = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert workers
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, workers))
