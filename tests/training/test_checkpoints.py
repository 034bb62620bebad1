import dataclasses
import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.freezing.regulariser import L2SP
from tlj.pretrained.base import base_digest
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import checkpoint_metadata, checkpoint_steps, read_variables
from tlj.training.checkpoints import Checkpoints
from tlj.training.compiled import abstract_state, initial_state
from tlj.training.delta import delta_of
from tlj.training.phase_record import PhaseRecord
from tlj.training.programs import Programs
from tlj.training.summary import state_digests

CONFIG = "c"
# A float that no short decimal spells: a restart must find the very loss that it waits to fall below.
RECORD = PhaseRecord({"a": "1"}, lowest_loss=0.1 + 0.2, waited=2, never_moved=["head/bias"], flops=[1e18 / 3])


@pytest.fixture(scope="module")
def state(tiny_run):
    setup = tiny_run()
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    return setup, initial_state(setup, setup.phases[0], variables, Programs())


def test_a_state_comes_back_bit_for_bit_with_its_structure_and_its_record(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole, RECORD)
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        restored, record = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert record == RECORD
    assert jax.tree.structure(restored) == jax.tree.structure(whole)
    for ours, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(whole), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_a_new_run_has_nothing_to_restore(state, tmp_path):
    setup, _ = state
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        assert checkpoints.restore_latest(functools.partial(abstract_state, setup)) is None


def test_the_latest_are_kept_and_no_others(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(whole.replace(step=jnp.int32(step)), PhaseRecord({}))
    assert checkpoint_steps(tmp_path) == [2, 3]


def test_a_save_that_was_cut_is_not_read_and_is_cleaned_up(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole.replace(step=jnp.int32(4)), PhaseRecord({}))
    half = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    half.mkdir()
    assert read_variables(tmp_path)[1] == 4
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        restored, _ = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert int(restored.step) == 4
    assert not half.exists()


def test_a_checkpoint_of_another_config_is_refused_by_name(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole, PhaseRecord({}))
    with (
        Checkpoints(tmp_path / "checkpoints", 2, "other", setup.phases) as checkpoints,
        pytest.raises(InputError, match="the checkpoint of step 0 has another config"),
    ):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))


def test_a_checkpoint_of_another_phase_is_refused_before_its_tree_is_read(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole, PhaseRecord({}))
    (phase,) = setup.phases
    others = [
        [dataclasses.replace(phase, groups=tuple(dataclasses.replace(g, learning_rate=0.5) for g in phase.groups))],
        [dataclasses.replace(phase, adapting=("backbone/norm",))],
        [],
    ]
    for phases in others:
        with (
            Checkpoints(tmp_path / "checkpoints", 2, CONFIG, phases) as checkpoints,
            pytest.raises(InputError, match="the checkpoint of step 0 has another phase"),
        ):
            checkpoints.restore_latest(lambda phase: pytest.fail("the tree was asked for"))


def test_a_checkpoint_in_a_later_phase_is_restored_into_the_tree_of_that_phase(tiny_run, tmp_path):
    setup = tiny_run(strategy="lp_ft:5", init="scratch")
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    whole = initial_state(setup, setup.phases[1], variables, Programs())
    record = PhaseRecord({}, starts=[0, 5])
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole, record)
        restored, found = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert found == record
    assert jax.tree.structure(restored) == jax.tree.structure(whole)
    swapped = setup.phases[::-1]
    with (
        Checkpoints(tmp_path / "checkpoints", 2, CONFIG, swapped) as checkpoints,
        pytest.raises(InputError, match="has another phase"),
    ):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))


def test_the_origin_of_l2_sp_comes_back_too(tiny_run, tmp_path):
    setup = tiny_run(strategy="linear_probe", init="scratch")
    settings = dataclasses.replace(setup.settings, l2_sp=L2SP(loaded=("head/kernel",)))
    setup = dataclasses.replace(setup, settings=settings)
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    whole = initial_state(setup, setup.phases[0], variables, Programs())
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole, PhaseRecord({}))
        restored, _ = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert jax.tree.structure(restored) == jax.tree.structure(whole)
    np.testing.assert_array_equal(restored.origin["head"]["kernel"], variables["params"]["head"]["kernel"])


@pytest.fixture(scope="module")
def probe(tiny_run):
    """A linear probe that keeps deltas: its setup, what they leave out, and a state of it with its record."""
    setup = tiny_run(strategy="linear_probe", init="scratch", checkpoint={"keep": "trainable"})
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    whole = initial_state(setup, setup.phases[0], variables, Programs())
    return setup, delta_of(setup), whole, PhaseRecord(state_digests(whole))


def test_a_delta_comes_back_as_the_whole_state_bit_for_bit(probe, tmp_path):
    setup, delta, whole, record = probe
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases, delta) as checkpoints:
        checkpoints.save(whole, record)
    held = ocp.metadata(tmp_path / "checkpoints" / "0").metadata
    assert held["params"].keys() == {"head"}
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases, delta) as checkpoints:
        restored, found = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    assert found == record
    assert jax.tree.structure(restored) == jax.tree.structure(whole)
    for ours, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(whole), strict=True):
        assert (ours.dtype, ours.sharding) == (theirs.dtype, theirs.sharding)
        np.testing.assert_array_equal(ours, theirs)


def test_a_delta_names_its_base_by_a_hash_of_what_it_leaves_out(probe, tmp_path):
    setup, delta, whole, record = probe
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases, delta) as checkpoints:
        checkpoints.save(whole, record)
    base = checkpoint_metadata(tmp_path, 0)["base"]
    frozen = {path: digest for path, digest in leaf_digests(whole.params).items() if path.startswith("backbone/")}
    assert base["digest"] == base_digest(frozen)
    assert (base["init"], base["seed"], base["source"], base["identity"]) == ("scratch", 0, "", "")


def test_a_delta_is_refused_on_another_base_before_its_tree_is_read(probe, tmp_path, monkeypatch):
    setup, delta, whole, record = probe
    other, _ = initial_variables("scratch", setup.spec, None, 1)
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases, delta) as checkpoints:
        checkpoints.save(whole, record)
    mine = checkpoint_metadata(tmp_path, 0)["base"]["digest"]
    theirs = delta.base_of(leaf_digests(other["params"])).digest
    assert mine != theirs
    elsewhere = dataclasses.replace(delta, start=lambda: other["params"])
    monkeypatch.setattr(ocp.training.Checkpointer, "load", lambda *_: pytest.fail("the tree was read"))
    with (
        Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases, elsewhere) as checkpoints,
        pytest.raises(InputError, match=f"base with the hash {mine} .*seed 0 gives {theirs}"),
    ):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))


def test_a_whole_checkpoint_is_no_delta_whatever_its_config_is_said_to_be(probe, tmp_path):
    setup, delta, whole, record = probe
    with Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
        checkpoints.save(whole, record)
    with (
        Checkpoints(tmp_path / "checkpoints", 2, CONFIG, setup.phases, delta) as checkpoints,
        pytest.raises(InputError, match="a delta checkpoint that does not tell"),
    ):
        checkpoints.restore_latest(functools.partial(abstract_state, setup))


def test_two_threads_may_save_at_once(state, tmp_path):
    setup, whole = state
    errors = []

    def save(name):
        try:
            with Checkpoints(tmp_path / name / "checkpoints", 2, CONFIG, setup.phases) as checkpoints:
                for step in (1, 2, 3):
                    checkpoints.save(whole.replace(step=jnp.int32(step)), PhaseRecord({}))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not errors
    assert checkpoint_steps(tmp_path / "a") == checkpoint_steps(tmp_path / "b") == [2, 3]
