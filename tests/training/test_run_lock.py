import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tlj.errors import InputError
from tlj.training.run_lock import LOCK, run_lock

HOLD = """
import pathlib, sys
from tlj.training.run_lock import run_lock

with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_and_told_who_holds_it_until_it_is_killed(holder, tmp_path):
    told = rf"{tmp_path}/run: another run is at work here \(process {holder.pid} on {socket.gethostname()}, since 20"
    with pytest.raises(InputError, match=told), run_lock(tmp_path / "run"):
        pass
    # Who was refused has not let it go.
    with pytest.raises(InputError, match=told), run_lock(tmp_path / "run"):
        pass
    with run_lock(tmp_path / "other"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with run_lock(tmp_path / "run"):
        pass


def test_the_directory_is_made_and_nothing_is_left_in_it(tmp_path):
    with run_lock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK).exists()
    assert not list((tmp_path / "a" / "b").iterdir())


def test_an_error_in_the_run_lets_go_too(tmp_path):
    with pytest.raises(KeyError), run_lock(tmp_path):
        raise KeyError
    with run_lock(tmp_path):
        pass


def test_threads_may_train_two_directories_and_not_the_same(tmp_path):
    found = []

    def hold(name):
        try:
            with run_lock(tmp_path / name):
                found.append(name)
        except InputError as error:
            found.append(str(error))

    with run_lock(tmp_path / "a"):
        for name in ("b", "a"):
            thread = threading.Thread(target=hold, args=(name,))
            thread.start()
            thread.join()
    assert found[0] == "b"
    assert f"process {os.getpid()}" in found[1]


def test_many_that_come_and_go_at_once_are_never_in_it_together(tmp_path):
    inside, most, held = [], [], []

    def come_and_go():
        for _ in range(200):
            try:
                with run_lock(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    held.append(1)
            except InputError:
                pass

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held
    assert set(most) == {1}


def test_a_file_that_was_removed_between_opening_and_locking_is_made_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def race(opened, operation):
        if not removed:
            removed.append((tmp_path / LOCK).unlink())
        flock(opened, operation)

    monkeypatch.setattr(fcntl, "flock", race)
    with run_lock(tmp_path), pytest.raises(InputError, match="another run"), run_lock(tmp_path):
        pass
    assert removed


def test_a_file_system_without_locks_is_told_of_and_used(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="tlj: .*has no locks"), run_lock(tmp_path):
        pass


def test_where_nothing_can_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="nothing can be written here"), run_lock(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("content", ["", "x", "[]", "{}"])
def test_a_lock_file_that_says_nothing_is_no_traceback(tmp_path, content):
    with run_lock(tmp_path):
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(InputError, match="another run is at work here"), run_lock(tmp_path):
            pass
