"""kill -9 at any moment of a run with a thaw, evaluations and background saves: the end is bit for bit the same."""

import random
import signal
import time

import pytest

from tests.contracts.runs import assert_same_end, rows, train_words
from tlj.pretrained.find_checkpoint import checkpoint_steps

CHAINS, KILLS = 2, 10
# Windows of a log, evaluations and saves at steps of their own, and a thaw between them; the best are kept, too.
RUN = {
    "strategy": "lp_ft:23",
    "init": "scratch",
    "evaluate": {"every": 12},
    "checkpoint": {"every": 10, "best": 1},
    "log": {"every": 7},
    "optimizer": {"ema": 0.9},
    "steps": 110,
}


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """The directory of the run that was never killed, and how many seconds it took from its first row to its end."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    for _ in range(2):  # The first fills the compile cache.
        process = processes.start(tlj=train_words(workdir.parent, workdir, **RUN))
        process.wait_until((workdir / "metrics.jsonl").exists)
        begin = time.monotonic()
        ended = process.wait()
        assert ended.code == 0, ended.stderr
        seconds = time.monotonic() - begin
        if not (workdir.parent / "first").exists():
            workdir.rename(workdir.parent / "first")
    return workdir, seconds


def killed(processes, workdir, seconds):
    """Starts a run and kills it some time after it began or went on; says whether that was before its end."""
    process = processes.start(tlj=train_words(workdir.parent, workdir, **RUN))
    before = (workdir / "metrics.jsonl").stat().st_mtime_ns if (workdir / "metrics.jsonl").exists() else 0
    process.wait_until(
        lambda: (workdir / "metrics.jsonl").exists() and (workdir / "metrics.jsonl").stat().st_mtime_ns != before
    )
    time.sleep(seconds)
    process.kill(signal.SIGKILL)
    return process.wait().code == -signal.SIGKILL


def test_twice_the_same_run_is_the_same(whole):
    assert_same_end(whole[0].parent / "first", whole[0])


@pytest.mark.parametrize("chain", range(CHAINS))
def test_a_run_that_is_killed_again_and_again_ends_like_the_one_that_never_was(processes, whole, tmp_path, chain):
    expected, seconds = whole
    moments, workdir, kills = random.Random(chain), tmp_path / "run", 0
    for _ in range(KILLS):
        if (workdir / "summary.json").exists():
            break
        # Together the stretches make up about the time that the run takes.
        kills += killed(processes, workdir, moments.uniform(0, 2 * seconds / KILLS))
        assert not list((workdir / "checkpoints").glob("*.damaged"))
    assert kills >= 3
    ended = processes.start(tlj=train_words(tmp_path, workdir, **RUN)).wait()
    assert ended.code == 0, ended.stderr
    assert_same_end(workdir, expected)
    assert rows(workdir) == rows(expected)
    assert checkpoint_steps(workdir) == checkpoint_steps(expected)


@pytest.mark.parametrize("harm", ["truncated", "deleted"])
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(processes, whole, tmp_path, harm):
    expected, _ = whole
    workdir = tmp_path / "run"
    process = processes.start(tlj=train_words(tmp_path, workdir, **RUN))
    process.wait_until(lambda: len(checkpoint_steps(workdir)) > 1)
    process.kill()
    process.wait()
    newest = workdir / "checkpoints" / str(checkpoint_steps(workdir)[-1])
    file = max(
        (file for file in newest.rglob("*") if file.is_file()), key=lambda file: (file.stat().st_size, str(file))
    )
    if harm == "deleted":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    ended = processes.start(tlj=train_words(tmp_path, workdir, **RUN)).wait()
    assert ended.code == 0, ended.stderr
    assert f"step {newest.name}" in ended.stderr
    assert (newest.parent / f"{newest.name}.damaged").is_dir()
    assert_same_end(workdir, expected)
    assert rows(workdir) == rows(expected)
