"""What ends a run before its time, and what is left of it then."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest

from tests.contracts.runs import assert_same_end, rows, same_bits, train_words
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.restore import restore

LONG = {"steps": 100_000, "checkpoint": {"every": 500, "latest": 3}, "evaluate": {"every": 0}}


def begun(processes, words, workdir):
    """Starts a run, and returns its process once it has written a checkpoint of its own."""
    before = checkpoint_steps(workdir)[-1:]
    process = processes.start(tlj=words)
    process.wait_until(lambda: checkpoint_steps(workdir)[-1:] > before)
    return process


def test_a_notice_saves_ends_with_its_code_and_the_run_goes_on_to_the_same_end(processes, tmp_path):
    changes = {"steps": 1500, "checkpoint": {"every": 400}, "evaluate": {"every": 500}, "log": {"every": 100}}
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = begun(processes, train_words(tmp_path, stopped, **changes), stopped)
    begin = time.monotonic()
    process.kill(signal.SIGTERM)
    ended = process.wait()
    assert (ended.code, time.monotonic() - begin < 25) == (75, True), ended.stderr
    step = checkpoint_steps(stopped)[-1]
    assert step % 400 or step < 1500
    assert f"stopped at step {step} by SIGTERM" in ended.stderr
    assert not (stopped / "summary.json").exists()
    for workdir in (stopped, whole):
        assert processes.start(tlj=train_words(tmp_path, workdir, **changes)).wait().code == 0
    assert_same_end(stopped, whole)
    assert rows(stopped) == rows(whole)


def test_a_notice_that_is_not_followed_in_time_ends_the_process_all_the_same(processes, tmp_path):
    workdir = tmp_path / "run"
    script = f"""
import time
from tlj.training import stretch
stretch.stop_requested = lambda step: time.sleep(1000)
from tlj.cli import main
raise SystemExit(main({train_words(tmp_path, workdir, checkpoint={"deadline": 1.0})!r}))
"""
    process = processes.start(script=script)
    process.wait_until((workdir / "metrics.jsonl").exists)
    process.kill(signal.SIGTERM)
    ended = process.wait(timeout=30)
    assert ended.code == 75
    assert "without saving" in ended.stderr


def test_a_second_run_in_a_directory_is_refused_and_the_first_goes_on(processes, tmp_path):
    workdir = tmp_path / "run"
    words = train_words(tmp_path, workdir, **LONG)
    first = begun(processes, words, workdir)
    before = len(rows(workdir))
    second = processes.start(tlj=words).wait()
    assert second.code == 2
    assert len(second.stderr.strip().splitlines()[-1:]) == 1
    assert str(first.id) in second.stderr
    first.wait_until(lambda: len(rows(workdir)) > before)
    first.kill()
    assert first.wait().code == -signal.SIGKILL
    # The kernel let go of the directory.
    third = begun(processes, words, workdir)
    third.kill()
    third.wait()


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step_and_keeps_what_is_good(processes, tmp_path):
    workdir = tmp_path / "run"
    # The rate rises until the weights overflow.
    hot = {"learning_rate": 1e38, "name": "sgd", "clip_norm": 0.0, "warmup": "100 steps", "schedule": "constant"}
    words = train_words(
        tmp_path, workdir, optimizer=hot, checkpoint={"every": 1}, evaluate={"every": 0}, log={"every": 4}
    )
    ended = processes.start(tlj=words).wait()
    assert ended.code == 1, ended.stderr
    told = json.loads((workdir / "non_finite.json").read_text())
    line = ended.stderr.strip().splitlines()[-1]
    assert f"step {told['step']} is not finite, first in {told['leaf']}" in line
    assert len(told["examples"]) == 16
    assert checkpoint_steps(workdir)[-1:] == ([told["step"] - 1] if told["step"] > 1 else [])
    assert all(np.isfinite(leaf).all() for leaf in leaves(restore(workdir))) if told["step"] > 1 else True
    assert not (workdir / "summary.json").exists()
    # The same once more: nothing has been lost, and nothing is different.
    again = processes.start(tlj=words).wait()
    assert again.stderr.strip().splitlines()[-1] == line


def leaves(tree):
    return [leaf for inner in tree.values() for leaf in leaves(inner)] if isinstance(tree, dict) else [tree]


def test_a_worker_that_is_killed_ends_the_run_with_a_line(processes, tmp_path, shared_data):
    workdir, photographs = tmp_path / "run", shared_data("data/hymenoptera")
    changes = {
        "data": {"source": f"folder:{photographs}", "memory": 0, "workers": 1},
        "model": {"settings": {"image_size": 16}},
        **LONG,
        "checkpoint": {"every": 2},
        "log": {"every": 2},
        "label_budget": 60,
    }
    process = begun(processes, train_words(tmp_path, workdir, **changes), workdir)
    workers = [pid for pid in children_of(process.id) if "spawn_main" in command_of(pid)]
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    ended = process.wait(timeout=60)
    assert ended.code == 1, ended.stderr
    # Python's own tracker of shared memory may have a word after it.
    (line,) = [line for line in ended.stderr.splitlines() if "a process that reads batches ended unexpectedly" in line]
    assert line.startswith("tlj: ")
    assert "Traceback" not in ended.stderr


def children_of(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        # A thread may end between the two.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def command_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of three megabytes; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_stops_the_run_with_a_line_and_the_last_good_checkpoint_is_whole(processes, tmp_path, small_disk):
    workdir, copy = small_disk / "run", tmp_path / "copy"
    changes = {"checkpoint": {"every": 5, "latest": 1000}, "evaluate": {"every": 0}, "steps": 2000}
    ended = processes.start(tlj=train_words(tmp_path, workdir, **changes)).wait(timeout=60)
    assert ended.code == 1, ended.stderr
    last = checkpoint_steps(workdir)[-1]
    line = ended.stderr.strip().splitlines()[-1]
    assert "no space left on the disk" in line
    assert f"the last good one is of step {last}" in line
    assert "Traceback" not in ended.stderr
    whole = {"steps": 2000, "checkpoint": {"every": last}, "evaluate": {"every": 0}}
    reference = begun(processes, train_words(tmp_path, copy, **whole), copy)
    reference.kill()
    reference.wait()
    assert same_bits(restore(workdir), restore(copy, step=last))


def test_a_disk_that_is_full_between_two_saves_stops_the_run_with_a_line(processes, tmp_path, small_disk):
    workdir = small_disk / "run"
    rarely = {"checkpoint": {"every": 50}, "evaluate": {"every": 0}, "log": {"every": 1}, "steps": 2000}
    words = train_words(tmp_path, workdir, **rarely)
    process = begun(processes, words, workdir)
    process.kill()
    process.wait()
    fill = small_disk / "fill"
    with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    # Room for a few rows of metrics.
    os.truncate(fill, fill.stat().st_size - 4096)
    ended = processes.start(tlj=words).wait(timeout=60)
    assert ended.code == 1, ended.stderr
    assert "no space left on the disk" in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr
    fill.unlink()
    again = begun(processes, words, workdir)
    again.kill()
    again.wait()
