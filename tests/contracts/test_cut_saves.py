"""A save that a full disk or a kill cuts costs nothing but itself, and the process ends at once."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest

from tlj.errors import RunError
from tlj.freezing.phases import Phase
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.training.checkpoints import Checkpoints, abstract
from tlj.training.phase_record import PhaseRecord
from tlj.training.provenance import Provenance
from tlj.training.retention import Retention
from tlj.training.run_record import RunRecord
from tlj.training.state import TrainState

# Waits for a run directory and the step whose save is to be cut by a kill (0: none), as JSON.
SCRIPT = """
import json, os, pathlib, signal, sys

sys.path.insert(0, sys.argv[1])
import test_cut_saves as cut
from tlj.errors import RunError
from tlj.training import checkpoints

run, killed_at = json.load(sys.stdin)
written = checkpoints.take_inventory

def take_inventory(folder, metadata):
    written(folder, metadata)
    if folder.name.startswith(f"{killed_at}."):
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints.take_inventory = take_inventory
try:
    cut.saved(pathlib.Path(run))
except RunError as error:
    sys.exit(f"tlj: {error}")
"""


def small(step):
    params = {"kernel": jnp.arange(4000.0) + step}
    return TrainState(
        step=jnp.int32(step),
        params=params,
        batch_stats={},
        opt_state=(),
        hyperparameters={},
        origin={},
        ema={},
        rejected=jnp.int32(0),
    )


def opened(run):
    return Checkpoints(run / "checkpoints", Retention(100), Provenance("c", "m", "k", [Phase((), ())]))


def saved(run):
    with opened(run) as checkpoints:
        for step in range(1, 30):
            checkpoints.save(small(step), RunRecord(PhaseRecord({})))


def restored(run):
    shapes = abstract(small(0), jax.tree.map(lambda leaf: leaf.sharding, small(0)))
    with opened(run) as checkpoints:
        return checkpoints.restore_latest(lambda phase: shapes)[0]


def ended_process(run, killed_at=0):
    """Runs the script; gives its exit code, its errors and how long it took, in seconds."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, os.path.dirname(__file__)],
        input=json.dumps([str(run), killed_at]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr, time.perf_counter() - begin


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system in memory, with a size or a number of files: ``small_disk("size=1m")``."""
    mounted = []

    def mount(options):
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system of its own needs root")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("options", ["size=100k", *(f"size=10m,nr_inodes={count}" for count in range(27, 36))])
def test_a_full_disk_stops_the_run_with_one_line_and_the_last_good_checkpoint(small_disk, options):
    disk = small_disk(options)
    with pytest.raises(RunError) as raised:
        saved(disk)
    last = checkpoint_steps(disk)[-1]
    assert "no space left on the disk" in str(raised.value)
    assert f"step {last + 1} could not be written" in str(raised.value)
    assert f"the last good one is of step {last};" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(disk.glob("checkpoints/*tmp*"))
    np.testing.assert_array_equal(restored(disk).params["kernel"], small(last).params["kernel"])


def test_the_process_of_a_run_whose_disk_is_full_ends_at_once(small_disk):
    # So many files that a folder of the second checkpoint cannot be made; Orbax would wait 300 s for it.
    code, errors, seconds = ended_process(small_disk("size=10m,nr_inodes=30"))
    assert code == 1
    assert errors.strip().splitlines()[-1].startswith("tlj: ")
    assert seconds < 40


def test_a_process_killed_between_the_last_byte_and_the_rename_leaves_nothing_that_a_restart_reads(tmp_path):
    code, errors, _ = ended_process(tmp_path, killed_at=4)
    assert code == -signal.SIGKILL, errors
    unfinished = tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp"
    assert unfinished.exists()
    assert checkpoint_steps(tmp_path) == [1, 2, 3]
    np.testing.assert_array_equal(restored(tmp_path).params["kernel"], small(3).params["kernel"])
    assert not unfinished.exists()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_middle_of_a_save_is_what_the_user_is_told(tmp_path, monkeypatch, moment):
    started, original = [], orbax.checkpoint.AsyncCheckpointer.save

    def interrupted(*arguments, **more):
        started.append(1)
        if len(started) < 4:
            return original(*arguments, **more)
        # After it, a thread of Orbax writes on, and the object that started it does not know.
        if moment == "after":
            original(*arguments, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(orbax.checkpoint.AsyncCheckpointer, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path)
    monkeypatch.undo()
    last = 4 if moment == "after" else 3
    np.testing.assert_array_equal(restored(tmp_path).params["kernel"], small(last).params["kernel"])
    assert checkpoint_steps(tmp_path)[-1] == last
