import dataclasses
import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tlj.errors import InputError, RunError
from tlj.freezing.digests import leaf_digests
from tlj.freezing.phases import Phase
from tlj.freezing.regulariser import L2SP
from tlj.pretrained.base import base_digest
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.inventory import find_damage, read_metadata
from tlj.training import checkpoints as module
from tlj.training.checkpoints import Checkpoints, abstract
from tlj.training.compiled import abstract_state, initial_state
from tlj.training.delta import delta_of
from tlj.training.phase_record import PhaseRecord
from tlj.training.programs import Programs
from tlj.training.provenance import Provenance
from tlj.training.retention import Retention
from tlj.training.run_record import RunRecord
from tlj.training.summary import state_digests

LOSS = "validation_loss"


def a_record(**phase):
    return RunRecord(PhaseRecord({}, **phase))


def shapes_of(state):
    return lambda phase: abstract(state, jax.tree.map(lambda leaf: leaf.sharding, state))


def assert_equal(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (one.dtype, one.sharding) == (other.dtype, other.sharding)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("background", [True, False])
def test_a_state_comes_back_bit_for_bit_with_its_structure_and_its_record(
    small_state, small_checkpoints, tmp_path, background
):
    # A float that no short decimal spells: a restart must find the very loss that it waits to fall below.
    record = RunRecord(
        PhaseRecord({"a": "1"}, lowest_loss=0.1 + 0.2, flops=[1e18 / 3]), {"s": 0.1}, [(1, 0.7)], skipped=3
    )
    with small_checkpoints(background=background) as checkpoints:
        checkpoints.save(small_state(3), record)
        if not background:
            assert find_damage(tmp_path / "checkpoints" / "3") == ""
    with small_checkpoints(background=background) as checkpoints:
        restored, found = checkpoints.restore_latest(shapes_of(small_state(0)))
        assert checkpoints.latest == 3
    assert found == record
    assert_equal(restored, small_state(3))


def test_a_new_run_has_nothing_to_restore_and_makes_no_directory(small_checkpoints, tmp_path):
    with small_checkpoints() as checkpoints:
        assert checkpoints.restore_latest(lambda phase: pytest.fail("a tree was asked for")) is None
        assert checkpoints.latest is None
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_the_state_that_was_saved_although_the_next_step_takes_its_memory(
    small_checkpoints, small_state
):
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf * 2 + 1, state), donate_argnums=0)
    # So large that the steps are over long before it is on disk.
    params = {"kernel": np.arange(1 << 23, dtype=np.float32)}
    donated = small_state(1).replace(params=jax.tree.map(jnp.array, params))
    jax.block_until_ready(step(donated))
    assert donated.params["kernel"].is_deleted()
    state = jax.block_until_ready(small_state(1).replace(params=jax.tree.map(jnp.array, params)))
    with small_checkpoints() as checkpoints:
        checkpoints.save(state, a_record())
        for _ in range(3):
            state = step(state)
        jax.block_until_ready(state)
        assert not (checkpoints._directory / "1").exists()
        checkpoints.wait()
        restored, _ = checkpoints.restore_latest(shapes_of(state))
    np.testing.assert_array_equal(restored.params["kernel"], params["kernel"])
    np.testing.assert_array_equal(restored.opt_state[0].mu["head"], small_state(1).opt_state[0].mu["head"])


def test_a_step_is_written_once(small_state, small_checkpoints, tmp_path):
    with small_checkpoints() as checkpoints:
        checkpoints.save(small_state(3), a_record())
        checkpoints.save(small_state(3, seed=1), a_record())
        checkpoints.wait()
        restored, _ = checkpoints.restore_latest(shapes_of(small_state(0)))
        checkpoints.save(small_state(3, seed=1), a_record())
    assert_equal(restored, small_state(3))


def validated(step):
    return {LOSS: abs(step - 3) / 8 + 0.1}


def trained(open_checkpoints, state, steps, record=None):
    """Saves at each step as a loop would, with a validation at each; returns the record of its end."""
    with open_checkpoints(latest=2, best=2) as checkpoints:
        if record is None:
            restored = checkpoints.restore_latest(shapes_of(state(0)))
            record = restored[1] if restored else a_record()
        for step in steps:
            assert checkpoints.is_among_best(record, validated(step)) == (step <= 3)
            checkpoints.save(state(step), record, validated(step))
    return record


def test_the_latest_and_the_best_are_kept_alike_with_and_without_a_restart(small_state, small_checkpoints, tmp_path):
    runs = [functools.partial(small_checkpoints, tmp_path / name) for name in ("through", "restarted")]
    record = trained(runs[0], small_state, range(1, 8))
    for steps in (range(1, 3), range(3, 5), range(5, 8)):
        again = trained(runs[1], small_state, steps)
    assert record == again
    assert record.best == [(3, 0.1), (2, 0.225)]
    assert checkpoint_steps(tmp_path / "through") == checkpoint_steps(tmp_path / "restarted") == [2, 3, 6, 7]
    assert read_metadata(tmp_path / "through" / "checkpoints" / "3")["metrics"] == {LOSS: 0.1}


def test_what_a_killed_process_had_no_time_to_remove_is_removed_by_the_next(small_state, small_checkpoints, tmp_path):
    with small_checkpoints(latest=9) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(small_state(step), a_record())
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()
    with small_checkpoints(latest=2) as checkpoints:
        assert checkpoints.restore_latest(shapes_of(small_state(0)))[1] == a_record()
    assert checkpoint_steps(tmp_path) == [2, 3]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"2", "3"}


@pytest.mark.parametrize("said", [{"config": "x"}, {"model": "x"}, {"phases": [Phase((), (), adapting=("norm",))]}])
def test_another_run_is_refused_before_its_tree_is_read_and_nothing_on_disk_changes(
    small_state, small_checkpoints, tmp_path, said
):
    with small_checkpoints() as checkpoints:
        for step in (1, 2):
            checkpoints.save(small_state(step), a_record())
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "checkpoints" / "2" / "state" / "_METADATA").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with (
        small_checkpoints(**said) as checkpoints,
        pytest.raises(InputError, match="the checkpoint of step 1 has another"),
    ):
        checkpoints.restore_latest(lambda phase: pytest.fail("the tree was asked for"))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_runs_in_several_threads_save_in_the_background_and_restore_at_once(small_state, small_checkpoints, tmp_path):
    errors = []

    def run(name):
        try:
            for first in (1, 6):
                with small_checkpoints(tmp_path / name) as checkpoints:
                    restored = checkpoints.restore_latest(shapes_of(small_state(0)))
                    assert (first == 1) == (restored is None)
                    for step in range(first, first + 5):
                        checkpoints.save(small_state(step), a_record())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(str(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)
    assert all(checkpoint_steps(tmp_path / str(number)) == [9, 10] for number in range(3))


@pytest.fixture
def full_disk(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    return lambda: monkeypatch.setattr(module, "take_inventory", refuse)


@pytest.mark.parametrize("where", ["save", "wait", "exit"])
def test_a_background_save_that_failed_is_an_error_at_the_next_chance(small_state, small_checkpoints, full_disk, where):
    expected = (
        r"checkpoint of step 2 could not be written \(no space left on the disk\); the last good one is of step 1"
    )
    checkpoints = small_checkpoints()
    checkpoints.save(small_state(1), a_record())
    checkpoints.wait()
    full_disk()
    checkpoints.save(small_state(2), a_record())
    following = {"save": lambda: checkpoints.save(small_state(3), a_record()), "wait": checkpoints.wait}
    with pytest.raises(RunError, match=expected):
        following.get(where, lambda: checkpoints.__exit__(None, None, None))()
    # It is told once, and the half-written one is gone.
    checkpoints.__exit__(None, None, None)
    assert [path.name for path in checkpoints._directory.iterdir()] == ["1"]


def test_a_save_that_failed_does_not_hide_the_error_that_ended_the_run(small_state, small_checkpoints, full_disk):
    full_disk()
    checkpoints = small_checkpoints()
    checkpoints.save(small_state(2), a_record())
    with pytest.warns(UserWarning, match="tlj: .*step 2 could not be written"):
        checkpoints.__exit__(KeyError, KeyError("theirs"), None)


def checkpoints_of(setup, tmp_path, delta=None):
    said = Provenance("c", "m", "k", setup.phases)
    return Checkpoints(tmp_path / "checkpoints", Retention(2), said, delta=delta)


def first_state(setup, phase=0):
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    return initial_state(setup, setup.phases[phase], variables, Programs())


def test_a_checkpoint_in_a_later_phase_is_restored_into_the_tree_of_that_phase(tiny_run, tmp_path):
    setup = tiny_run(strategy="lp_ft:5", init="scratch")
    whole, record = first_state(setup, 1), a_record(starts=[0, 5])
    with checkpoints_of(setup, tmp_path) as checkpoints:
        checkpoints.save(whole, record)
        checkpoints.wait()
        restored, found = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert found == record
    assert_equal(restored, whole)
    swapped = dataclasses.replace(setup, phases=setup.phases[::-1])
    with checkpoints_of(swapped, tmp_path) as checkpoints, pytest.raises(InputError, match="has another phase"):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))


def test_the_origin_of_l2_sp_comes_back_too(tiny_run, tmp_path):
    setup = tiny_run(strategy="linear_probe", init="scratch")
    settings = dataclasses.replace(setup.settings, l2_sp=L2SP(loaded=("head/kernel",)))
    setup = dataclasses.replace(setup, settings=settings)
    whole = first_state(setup)
    with checkpoints_of(setup, tmp_path) as checkpoints:
        checkpoints.save(whole, a_record())
        checkpoints.wait()
        restored, _ = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert_equal(restored, whole)
    np.testing.assert_array_equal(restored.origin["head"]["kernel"], whole.params["head"]["kernel"])


@pytest.fixture(scope="module")
def probe(tiny_run, tmp_path_factory):
    """A linear probe that keeps deltas and its moving average: setup, delta, state, record and run directory."""
    changes = {"checkpoint": {"keep": "trainable"}, "optimizer": {"ema": 0.9}}
    setup = tiny_run(strategy="linear_probe", init="scratch", **changes)
    whole, directory = first_state(setup), tmp_path_factory.mktemp("probe")
    record = RunRecord(PhaseRecord(state_digests(whole)))
    with checkpoints_of(setup, directory, delta_of(setup)) as checkpoints:
        checkpoints.save(whole, record)
    return setup, delta_of(setup), whole, record, directory


def test_a_delta_comes_back_as_the_whole_state_bit_for_bit(probe):
    setup, delta, whole, record, directory = probe
    assert len(jax.tree.leaves(whole.ema)) == 2
    assert ocp.metadata(directory / "checkpoints" / "0").metadata["params"].keys() == {"head"}
    with checkpoints_of(setup, directory, delta) as checkpoints:
        restored, found = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert found == record
    assert_equal(restored, whole)


def test_a_delta_names_its_base_by_a_hash_of_what_it_leaves_out(probe):
    _, _, whole, _, directory = probe
    base = read_metadata(directory / "checkpoints" / "0")["base"]
    frozen = {path: digest for path, digest in leaf_digests(whole.params).items() if path.startswith("backbone/")}
    assert base["digest"] == base_digest(frozen)
    assert (base["init"], base["seed"], base["source"], base["identity"]) == ("scratch", 0, "", "")


def test_a_delta_is_refused_on_another_base_before_its_tree_is_read(probe, monkeypatch):
    setup, delta, _, _, directory = probe
    other, _ = initial_variables("scratch", setup.spec, None, 1)
    mine = read_metadata(directory / "checkpoints" / "0")["base"]["digest"]
    theirs = delta.base_of(leaf_digests(other["params"])).digest
    assert mine != theirs
    elsewhere = dataclasses.replace(delta, start=lambda: other["params"])
    monkeypatch.setattr(ocp, "load", lambda *_: pytest.fail("the tree was read"))
    with (
        checkpoints_of(setup, directory, elsewhere) as checkpoints,
        pytest.raises(InputError, match=f"base with the hash {mine} .*seed 0 gives {theirs}"),
    ):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))


def test_a_whole_checkpoint_is_no_delta_whatever_its_config_is_said_to_be(probe, tmp_path):
    setup, delta, whole, record, _ = probe
    with checkpoints_of(setup, tmp_path) as checkpoints:
        checkpoints.save(whole, record)
    with (
        checkpoints_of(setup, tmp_path, delta) as checkpoints,
        pytest.raises(InputError, match="a delta checkpoint that does not tell"),
    ):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))
