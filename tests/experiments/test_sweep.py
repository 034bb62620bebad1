"""A sweep of members that are quick scripts: retries, isolation, signals, resuming."""

import json
import os
import signal
import sys
import threading
import time

import pytest

from tlj.distributed import PreemptedError
from tlj.errors import InputError
from tlj.experiments import sweep
from tlj.experiments.backends.local import LocalBackend
from tlj.experiments.sweep_members import read_members
from tlj.training.run_lock import run_lock

# What a member does in each attempt, the last for all that follow: an exit code, or one of the words below.
MEMBER = """
import os, pathlib, signal, sys, time
folder, acts = pathlib.Path(sys.argv[1]), sys.argv[2:]
with open(folder.parent / "order", "a") as order:
    order.write(sys.argv[1][-12:] + "\\n")
with open(folder / "attempts", "a") as attempts:
    attempts.write(".")
act = acts[min((folder / "attempts").stat().st_size, len(acts)) - 1]
print("says", act)
if act == "done":
    (folder / "summary.json").write_text('{"metrics": {"validation_accuracy": 0.5}}')
elif act == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif act in ("saves", "breaks", "deaf"):
    codes = {"saves": 75, "breaks": 1}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(codes[act]) if act in codes else (folder / "told").touch())
    (folder / "ready").touch()
    for _ in range(200):
        time.sleep(0.1)
    (folder / "outlived").touch()
elif act != "nothing":
    sys.exit(int(act))
"""


class Sweep:
    """A sweep over seeds, each of whose members does what it is told."""

    def __init__(self, folder):
        self.folder, self.workdir = folder, folder / "w"
        (folder / "member.py").write_text(MEMBER)

    def members(self, count):
        swept = [{"seed": seed} for seed in range(count)]
        text = f"def get_config(arg=None):\n    return {{}}\n\ndef sweep(arg=None):\n    return {swept}\n"
        (self.folder / "config.py").write_text(text)
        return read_members(str(self.folder / "config.py"), [f"workdir={self.workdir}"], "train")[1]

    def run(self, *acts, workers=1):
        """Runs as many members as there are acts, and returns their states."""
        made = self.members(len(acts))
        words = {member.hash: act.split() for member, act in zip(made, acts, strict=True)}

        def command(member):
            script = str(self.folder / "member.py")
            return (sys.executable, "-S", "-E", script, str(member.folder), *words[member.hash])

        summary = sweep.run_sweep(self.workdir, made, LocalBackend(workers), command)
        return [row["state"] for row in summary["members"]]

    def attempts(self, count):
        files = [member.folder / "attempts" for member in self.members(count)]
        return [len(file.read_text()) if file.exists() else 0 for file in files]

    def order(self):
        """The seeds of the members, in the order in which they began."""
        seeds = {member.hash: member.overrides["seed"] for member in self.members(9)}
        return [seeds[name] for name in (self.workdir / "members" / "order").read_text().split()]


@pytest.fixture
def swept(tmp_path):
    return Sweep(tmp_path)


def interrupt(numbers, *files):
    """Sends a signal to this process when a file is there, and the next when the next is."""

    def send():
        for number, file in zip(numbers, files, strict=True):
            deadline = time.monotonic() + 30
            while not file.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_members_run_in_order_and_a_second_time_nothing_does(swept, capsys):
    assert swept.run("done", "done", "done") == ["done"] * 3
    assert swept.order() == [0, 1, 2]
    before = {file: (swept.workdir / file).read_bytes() for file in ("summary.json", "sweep.json", "table.md")}
    assert swept.run("9", "9", "9") == ["done"] * 3
    assert "nothing to do: all 3 members are done" in capsys.readouterr().err
    assert before == {file: (swept.workdir / file).read_bytes() for file in before}


def test_an_added_member_is_the_only_one_that_is_run(swept):
    swept.run("done", "done")
    assert swept.run("9", "9", "done") == ["done"] * 3
    assert swept.attempts(3) == [1, 1, 1]


def test_a_member_that_fails_once_is_tried_once_more(swept, capsys):
    assert swept.run("3 done", "killed done", "nothing done") == ["done"] * 3
    assert swept.attempts(3) == [2, 2, 2]
    err = capsys.readouterr().err
    assert "seed=0): exit code 3; it is tried once more" in err
    assert "seed=1): ended by signal 9; it is tried once more" in err


def test_a_member_that_fails_twice_is_told_of_and_the_others_go_on(swept, capsys):
    assert swept.run("3", "done", "2", workers=2) == ["failed", "done", "failed"]
    # What only the member could see of its input stays as it is.
    assert swept.attempts(3) == [2, 1, 1]
    first, _, third = swept.members(3)
    told = {"attempts": 2, "exit_code": 3, "last_lines": ["says 3", "says 3"]}
    assert json.loads((first.folder / "failed.json").read_text()) == told
    assert json.loads((third.folder / "failed.json").read_text())["attempts"] == 1
    assert "failed, exit code 3: says 3" in capsys.readouterr().err


def test_a_failed_member_is_tried_again_by_the_next_invocation(swept):
    assert swept.run("killed", "done") == ["failed", "done"]
    assert swept.run("killed killed done", "9") == ["done", "done"]
    assert swept.attempts(2) == [3, 1]
    assert not (swept.members(1)[0].folder / "failed.json").exists()


def test_a_preempted_member_is_neither_failed_nor_done(swept):
    assert swept.run("75", "done") == ["stopped", "done"]
    assert swept.attempts(2) == [1, 1]


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, PreemptedError), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_is_passed_on_and_waited_for_and_the_queue_stays(swept, number, error):
    before = signal.getsignal(number)
    thread = interrupt([number], swept.members(1)[0].folder / "ready")
    with pytest.raises(error):
        swept.run("saves done", "done")
    thread.join()
    assert signal.getsignal(number) is before
    summary = json.loads((swept.workdir / "summary.json").read_text())
    assert [row["state"] for row in summary["members"]] == ["stopped", "not begun"]
    assert swept.attempts(2) == [1, 0]
    assert swept.run("saves done", "done") == ["done", "done"]


def test_a_second_signal_ends_members_that_do_not_listen(swept):
    folder = swept.members(1)[0].folder
    thread = interrupt([signal.SIGINT, signal.SIGINT], folder / "ready", folder / "told")
    with pytest.raises(KeyboardInterrupt):
        swept.run("deaf")
    thread.join()
    assert not (folder / "failed.json").exists()
    assert not (folder / "outlived").exists()


def test_a_member_that_a_signal_breaks_has_not_failed(swept):
    folder = swept.members(1)[0].folder
    thread = interrupt([signal.SIGTERM], folder / "ready")
    with pytest.raises(PreemptedError):
        swept.run("3 breaks")
    thread.join()
    assert not (folder / "failed.json").exists()


@pytest.mark.parametrize("finished", [True, False])
def test_a_member_that_another_process_trains_is_waited_for(swept, monkeypatch, capsys, finished):
    monkeypatch.setattr(sweep, "_SECONDS_BETWEEN_LOCKS", 0.02)
    folder, states = swept.members(1)[0].folder, []
    with run_lock(folder):
        thread = threading.Thread(target=lambda: states.append(swept.run("2 done")))
        thread.start()
        deadline = time.monotonic() + 30
        while "is waited for" not in (err := capsys.readouterr().err) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "another process trains it" in err
        if finished:
            (folder / "summary.json").write_text("{}")
    thread.join()
    assert states == [["done"]]
    assert swept.attempts(1) == [1 if finished else 2]


def test_a_second_sweep_in_the_same_folder_is_refused(swept):
    with run_lock(swept.workdir), pytest.raises(InputError, match="at work here"):
        swept.run("done")
    assert swept.attempts(1) == [0]


@pytest.mark.parametrize(("file", "what"), [("comparison.json", "a comparison"), ("manifest.json", "a run")])
def test_a_folder_that_holds_something_else_is_refused(swept, file, what):
    swept.workdir.mkdir()
    (swept.workdir / file).write_text("{}")
    with pytest.raises(InputError, match=f"{what}, not a sweep"):
        swept.run("done")
    assert [path.name for path in swept.workdir.iterdir()] == [file]


def test_sweep_json_says_what_each_member_is_and_how_to_run_it_alone(swept):
    swept.run("done", "9")
    rows = json.loads((swept.workdir / "sweep.json").read_text())["members"]
    assert [row["overrides"] for row in rows] == [{"seed": 0}, {"seed": 1}]
    for row, member in zip(rows, swept.members(2), strict=True):
        assert row["folder"] == f"members/{row['hash']}"
        assert row["command"].split()[:3] == ["tlj", "train", f"--config={member.file}"]
        assert member.file.read_text() == member.file_text
