"""How many threads read."""

import os

from tlj.data.threads import MOST_THREADS, thread_count


def test_as_many_threads_as_were_asked_for():
    assert thread_count(40) == 40


def test_one_for_each_core_that_may_be_used_up_to_a_limit(monkeypatch):
    for cores, threads in ((1, 1), (3, 3), (200, MOST_THREADS)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert thread_count() == threads


def test_where_the_system_cannot_tell_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert thread_count() == 5
