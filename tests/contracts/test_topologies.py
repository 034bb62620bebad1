"""A run that goes on elsewhere: from eight devices to four to one, mapped or not, sharded or whole."""

import json

import jax
import numpy as np
import pytest

from tests.contracts.runs import TINY, merged, rows
from tlj import config as configuration
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.restore import restore

EACH = 3
RUN = {
    "model": {"settings": {"depth": 1}},
    # More than are taken: the end of a run has nothing to do with where it was.
    "steps": 100,
    "optimizer": {"ema": 0.9, "learning_rate": 1e-3, "warmup": "2 steps"},
    "evaluate": {"every": 0},
    "checkpoint": {"every": EACH, "latest": 9},
    "log": {"every": 1, "tensorboard": False},
}
# Devices, how they are used, and the step that is trained to; the last restores, and does not train.
WAYS = (
    (8, {"fsdp": 4}, EACH),
    (4, {"mode": "pmap"}, 2 * EACH),
    (1, {}, 3 * EACH),
    (4, {"fsdp": 2}, 0),
)
# Prints the digests of the whole state as it is restored, trains to a step, and prints those of what was saved there.
SCRIPT = """
import functools, json, pathlib, sys
import jax
from tlj.freezing.digests import leaf_digests
from tlj.training import parallel
from tlj.training.checkpoints import vars_of
from tlj.training.compiled import abstract_state
from tlj.training.loop import train_run
from tlj.training.run_checkpoints import open_checkpoints
from tlj.training.setup import set_up
from tlj.training.surroundings import StoppedError, Surroundings

directory, last, config = pathlib.Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
parallel.SMALLEST_SHARDED = 600
setup, shared = set_up(config, pathlib.Path()), Surroundings()

def say_restored():
    with open_checkpoints(setup, directory, "hash", {}) as checkpoints:
        restored = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    if restored is None:
        return print("null")
    leaves = jax.tree_util.tree_leaves_with_path(vars_of(restored[0]))
    sharded = sum(not leaf.sharding.is_fully_replicated for _, leaf in leaves)
    digests = leaf_digests({jax.tree_util.keystr(path): jax.device_get(leaf) for path, leaf in leaves})
    print(json.dumps({"step": int(restored[0].step), "sharded": sharded, "digests": digests}))

def stop_there(row):
    if row["step"] == last:
        shared.stop.set()

say_restored()
if not last:
    sys.exit()
try:
    train_run(setup, directory, "hash", Surroundings(shared.programs, shared.stop, on_window=stop_there))
except StoppedError:
    pass
say_restored()
"""


def config_of(parallel):
    config = configuration.merge(configuration.default(), merged(TINY, {**RUN, "parallel": parallel}))
    return json.dumps(configuration.run_config(config))


@pytest.fixture(scope="module")
def alone(processes, tmp_path_factory):
    """The process of the run on one device from end to end, and its directory."""
    directory = tmp_path_factory.mktemp("topologies") / "alone"
    return processes.start(script=SCRIPT, arguments=[directory, 3 * EACH, config_of({})]), directory


@pytest.fixture(scope="module")
def moved(alone, processes, tmp_path_factory):
    """What each process told before and after its part of a run, and the directory."""
    directory, told = tmp_path_factory.mktemp("topologies") / "moved", []
    for devices, parallel, last in WAYS:
        words = [directory, last, config_of(parallel)]
        ended = processes.start(script=SCRIPT, arguments=words, devices=devices).wait()
        assert ended.code == 0, ended.stderr
        told.append([json.loads(line) for line in ended.stdout.splitlines()])
    return told, directory


def test_a_state_is_the_same_bit_by_bit_on_whatever_devices_it_is_restored(moved):
    told, directory = moved
    for part, (saved, restored) in enumerate(zip(told, told[1:], strict=False), start=1):
        assert (saved[1]["step"], restored[0]["step"]) == (EACH * part, EACH * part)
        assert restored[0]["digests"] == saved[1]["digests"]
        # Also as a notebook reads it, without any of these devices.
        plain = jax.tree_util.tree_leaves_with_path({"params": restore(directory, EACH * part, ema=False)})
        digests = leaf_digests({jax.tree_util.keystr(path): leaf for path, leaf in plain})
        assert digests.items() <= saved[1]["digests"].items()
        assert any("'ema'" in name for name in saved[1]["digests"])


def test_leaves_are_sharded_where_the_config_says_so(moved):
    told, _ = moved
    assert told[0][0] is None
    assert [bool(process[-1]["sharded"]) for process in told] == [True, False, False, True]


def test_the_run_goes_on_as_if_it_had_stayed_on_one_device(moved, alone):
    process, directory = alone
    assert process.wait().code == 0, process.written()
    ours, expected = rows(moved[1]), rows(directory)
    assert [row["step"] for row in ours] == [row["step"] for row in expected] == list(range(1, 3 * EACH + 1))
    for name in ("loss", "accuracy", "gradient_norm"):
        np.testing.assert_allclose(
            [row[name] for row in ours], [row[name] for row in expected], atol=1e-5, rtol=1e-5, err_msg=name
        )
    for ema in (False, True):
        pairs = restore(moved[1], ema=ema), restore(directory, ema=ema)
        # Where a gradient is none but for rounding, that of the bias of keys, Adam makes steps of it.
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), *pairs)
