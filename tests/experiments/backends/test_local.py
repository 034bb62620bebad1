"""Jobs as processes of this machine: how many at a time, what they see, how they are stopped."""

import pathlib
import re
import signal
import sys
import time

import pytest

from tlj.errors import InputError
from tlj.experiments.backends.backend import Ended, Job
from tlj.experiments.backends.local import LocalBackend, accelerators_of


def job(folder, name, program, **environment):
    return Job(name, (sys.executable, "-S", "-E", "-c", program), folder, folder / f"{name}.txt", environment)


def all_ended(backend, count):
    """Waits for so many jobs, and returns them in the order in which they ended."""
    ended, deadline = [], time.monotonic() + 30
    while len(ended) < count:
        assert time.monotonic() < deadline
        ended += backend.wait(0.1)
    return ended


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_jobs_run_one_after_another_in_their_order_unless_told_otherwise(tmp_path):
    backend = LocalBackend()
    note = "open('order', 'a').write('{0}'); import time; time.sleep(0.05); open('order', 'a').write('{0}')"
    for name in "abc":
        backend.submit(job(tmp_path, name, note.format(name)))
    assert all_ended(backend, 3) == [Ended(name, 0) for name in "abc"]
    assert (tmp_path / "order").read_text() == "aabbcc"
    assert backend.wait(0) == []


def test_two_workers_run_two_jobs_at_once_and_the_third_waits(tmp_path):
    backend = LocalBackend(workers=2)
    meet = (
        "import pathlib, time\npathlib.Path('{0}').touch()\n"
        "while not pathlib.Path('{1}').exists(): time.sleep(0.01)\nassert {2}"
    )
    alone = "not pathlib.Path('c').exists()"
    backend.submit(job(tmp_path, "1", meet.format("a", "b", alone)))
    backend.submit(job(tmp_path, "2", meet.format("b", "a", alone)))
    backend.submit(job(tmp_path, "3", meet.format("c", "a", "True")))
    ended = all_ended(backend, 3)
    assert {each.name for each in ended} == {"1", "2", "3"}
    assert [each.code for each in ended] == [0, 0, 0]


def test_a_job_has_its_log_its_variables_and_a_process_group_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_SWEEP", "inherited")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")
    program = (
        "import os, sys; print(os.getpgrp() == os.getpid(), sys.stdin.read() == ''); "
        "print(*(os.environ[name] for name in ('OF_THE_SWEEP', 'OWN', 'PYTHONUNBUFFERED', 'CUDA_VISIBLE_DEVICES')), "
        "file=sys.stderr); sys.exit(7)"
    )
    backend = LocalBackend()
    for _ in range(2):
        backend.submit(job(tmp_path, "a", program, OWN="x"))
        assert all_ended(backend, 1) == [Ended("a", 7)]
    assert sorted((tmp_path / "a.txt").read_text().splitlines()) == sorted(["True True", "inherited x 1 all"] * 2)


def test_each_worker_has_an_accelerator_of_its_own(tmp_path):
    backend = LocalBackend(2, ("3", "5"))
    program = "import os, time; time.sleep(0.2); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    for name in "ab":
        backend.submit(job(tmp_path, name, program))
    all_ended(backend, 2)
    assert [(tmp_path / f"{name}.txt").read_text() for name in "ab"] == ["3\n", "5\n"]


@pytest.mark.parametrize(
    ("workers", "visible", "pinned"),
    [(1, "0,1", ()), (2, None, ()), (2, "0", ()), (2, "", ()), (2, "4,6,7", ("4", "6"))],
)
def test_accelerators_are_shared_out_where_there_are_several_of_both(workers, visible, pinned):
    assert accelerators_of(workers, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == pinned


def test_more_workers_than_accelerators_are_refused():
    with pytest.raises(InputError, match=re.escape("--workers: 3 workers, and CUDA_VISIBLE_DEVICES names 2")):
        accelerators_of(3, {"CUDA_VISIBLE_DEVICES": "0,1"})


def test_a_cancelled_job_is_told_to_stop_and_the_queue_never_begins(tmp_path):
    save = (
        "import pathlib, signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "pathlib.Path('ready').touch()\ntime.sleep(60)"
    )
    backend = LocalBackend()
    backend.submit(job(tmp_path, "runs", save))
    backend.submit(job(tmp_path, "waits", "open('begun', 'w')"))
    wait_for(tmp_path / "ready")
    backend.cancel()
    backend.submit(job(tmp_path, "late", "open('begun', 'w')"))
    ended = all_ended(backend, 3)
    assert sorted(ended, key=lambda each: each.name) == [Ended("late", None), Ended("runs", 75), Ended("waits", None)]
    assert not (tmp_path / "begun").exists()


def test_a_killed_job_takes_along_what_it_started_and_does_not_listen_first(tmp_path):
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    deaf = (
        "import pathlib, signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-E', '-c', {child!r}])\n"
        "pathlib.Path('part').write_text(str(child.pid))\npathlib.Path('part').rename('child')\ntime.sleep(60)"
    )
    backend = LocalBackend()
    backend.submit(job(tmp_path, "deaf", deaf))
    wait_for(tmp_path / "child")
    backend.cancel()
    assert backend.wait(0.1) == []
    backend.cancel(kill=True)
    assert all_ended(backend, 1) == [Ended("deaf", -signal.SIGKILL)]
    stat = pathlib.Path("/proc", (tmp_path / "child").read_text(), "stat")
    deadline = time.monotonic() + 10
    # Dead, or dead and not yet buried by whoever inherited it.
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
