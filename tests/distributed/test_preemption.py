import os
import signal
import threading
import time

import pytest

from tlj.distributed import SAVED_AND_STOPPED, stop_requested, watch_for_preemption


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def is_stopped_soon():
    deadline = time.monotonic() + 10
    while not stop_requested(0) and time.monotonic() < deadline:
        time.sleep(0.001)
    return stop_requested(0)


def test_sigterm_asks_to_stop_and_a_second_one_changes_nothing():
    with watch_for_preemption(60):
        assert not stop_requested(1)
        terminate()
        terminate()
        assert is_stopped_soon()
        terminate()
        time.sleep(0.05)
        assert stop_requested(2)


def test_what_handled_sigterm_before_does_so_again():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with watch_for_preemption(60):
            terminate()
            assert is_stopped_soon()
        terminate()
        assert heard == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_stop_is_forgotten_with_its_watch():
    with watch_for_preemption(60):
        terminate()
        assert is_stopped_soon()
    assert not stop_requested(0)
    with watch_for_preemption(60):
        assert not stop_requested(0)


def test_a_watch_within_a_watch_is_the_same_one():
    with watch_for_preemption(60):
        with watch_for_preemption(0.001):
            terminate()
            assert is_stopped_soon()
        time.sleep(0.05)
        assert stop_requested(0)


def test_other_signals_and_other_threads_are_left_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def elsewhere():
        with watch_for_preemption(60):
            seen.append(signal.getsignal(signal.SIGTERM))

    outside = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [outside]
    with watch_for_preemption(60):
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not stop_requested(0)


def test_no_thread_is_left():
    before = threading.active_count()
    for _ in range(3):
        with watch_for_preemption(60):
            terminate()
            assert is_stopped_soon()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_a_question_costs_a_few_microseconds():
    with watch_for_preemption(60):
        begin = time.perf_counter()
        for step in range(10_000):
            stop_requested(step)
        assert (time.perf_counter() - begin) / 10_000 < 5e-6


def test_a_process_that_does_not_stop_is_ended_at_the_deadline_even_within_a_long_computation(processes):
    program = """
import hashlib, sys
from tlj.distributed import stop_requested, watch_for_preemption
with watch_for_preemption(0.5):
    stop_requested(17)
    print("computing", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 500_000_000)
"""
    process = processes.start(script=program)
    process.wait_until(lambda: "computing" in process.written())
    begin = time.monotonic()
    process.kill(signal.SIGTERM)
    ended = process.wait(30)
    assert ended.code == SAVED_AND_STOPPED
    assert 0.4 < time.monotonic() - begin < 10
    assert ended.stderr == (
        "tlj: not stopped 0.5 s after SIGTERM, at step 17: ended without saving; run again to resume\n"
    )
