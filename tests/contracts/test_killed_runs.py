"""Killed before, at and after a thaw, a run goes on to the very end that it would have had."""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.training.compiled import abstract_state
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.run_checkpoints import open_checkpoints
from tlj.training.run_files import read_metrics, read_predictions

STEPS, EVERY = 20, 2
# As JSON come the config, the directory, the step after which it is killed, and the checkpoint that is on disk then.
SCRIPT = """
import json, os, pathlib, signal, sys, time

from tlj.training.loop import Surroundings, train_run
from tlj.training.setup import set_up

def killed(config, directory, at, saved):
    done = []

    def on_step(steps):
        done.append(steps)
        if sum(done) == at:
            # Checkpoints are written in the background.
            while not pathlib.Path(directory, "checkpoints", str(saved)).exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    train_run(set_up(config, pathlib.Path()), pathlib.Path(directory), "hash", Surroundings(on_step=on_step))

killed(*json.load(sys.stdin))
"""


def killed_processes(setup, places):
    """Starts a process for each directory that trains a run into it and is killed at a step; gives how each ended.

    It is killed when the checkpoint that is due at that step or last before it is on the disk.
    """
    processes = []
    for directory, at in places:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        process.stdin.write(json.dumps([setup.config, str(directory), at, at - at % EVERY]))
        process.stdin.close()
        processes.append(process)
    # The pipe is read to its end before the wait, or a full one would block the child.
    return [(process.stderr.read(), process.wait()) for process in processes]


def state_at_the_end(setup, directory):
    """All that the last checkpoint holds: parameters, statistics, moments, counts and the record, but for its times."""
    made_of = json.loads((directory / "manifest.json").read_text())
    with open_checkpoints(setup, directory, "hash", made_of) as checkpoints:
        state, record = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    return state, dataclasses.replace(record, clock={})


def lasting(summary):
    return {name: value for name, value in summary.items() if name not in ("timing", "cost")}


def untimed(directory):
    rows = read_metrics(directory / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name != "timing"} for row in rows]


# At so high a rate the validation loss soon rises.
PLATEAU = {"plateau": {"patience": 2}, "optimizer": {"learning_rate": 0.3}}
CASES = {"lp_ft:10+l2_sp": ("vit", {}), "lp_ft:plateau": ("vit", PLATEAU), "freeze_out:0.73": ("resnet", {})}


@pytest.fixture(scope="module", params=CASES)
def whole(request, transfer, programs, tmp_path_factory):
    """A setup, the directory of its run that was never killed, its summary, and the step of its first thaw."""
    family, changes = CASES[request.param]
    often = {"steps": STEPS, "checkpoint": {"every": EVERY}, "evaluate": {"every": EVERY}, "log": {"every": 3}}
    setup = transfer(family, request.param, often, changes)
    directory = tmp_path_factory.mktemp("whole") / "run"
    summary = train_run(setup, directory, "hash", Surroundings(programs))
    thaw = summary["phases"][1]["start"]
    # There are checkpoints before it, exactly at it and after it; the one before falls into the middle of the plateau.
    assert 2 * EVERY < thaw < STEPS - 2 * EVERY
    assert thaw % EVERY == 0
    return setup, directory, summary, thaw


def test_a_run_killed_before_at_and_after_a_thaw_ends_bit_equal_to_the_run_that_was_never_killed(
    whole, programs, tmp_path
):
    setup, directory, summary, thaw = whole
    # In the step after a save, each; the last finds its latest checkpoint in the second phase, the others in the first.
    places = [(tmp_path / "before", thaw - 1), (tmp_path / "at", thaw + 1), (tmp_path / "after", thaw + EVERY + 1)]
    for (killed, at), (errors, code) in zip(places, killed_processes(setup, places), strict=True):
        assert code == -signal.SIGKILL, errors
        assert checkpoint_steps(killed)[-1] == at - at % EVERY
        assert not (killed / "summary.json").exists()
    expected, record = state_at_the_end(setup, directory)
    for killed, _ in places:
        resumed = train_run(setup, killed, "hash", Surroundings(programs))
        assert lasting(resumed) == lasting(summary), killed
        assert untimed(killed) == untimed(directory), killed
        found, found_record = state_at_the_end(setup, killed)
        assert found_record == record
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for (path, ours), theirs in zip(
            jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True
        ):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), (killed, path)
        for name, (logits, _) in read_predictions(killed / "predictions.parquet").items():
            np.testing.assert_array_equal(
                logits, read_predictions(directory / "predictions.parquet")[name][0], err_msg=str(killed)
            )


@pytest.mark.parametrize(
    ("stopped_at", "other"),
    [
        (13, "gradual:10"),  # the same labels in the first phase, others in the second
        (13, "lp_ft:10+discriminative"),
        (13, "linear_probe"),  # has no second phase
        (7, "last_blocks:1"),
    ],
)
def test_a_restore_into_the_tree_of_another_phase_is_refused(transfer, programs, tmp_path, stopped_at, other):
    done = []

    def on_step(steps):
        done.append(steps)
        if sum(done) == stopped_at:
            shared.stop.set()

    shared = Surroundings(programs, on_step=on_step)
    changes = {"steps": 40, "checkpoint": {"every": 2}}
    with pytest.raises(StoppedError):
        train_run(transfer("vit", "lp_ft:10", changes), tmp_path, "hash", shared)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=f"the checkpoint of step {stopped_at - 1} has another phase"):
        train_run(transfer("vit", other, changes), tmp_path, "hash", Surroundings(programs))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
