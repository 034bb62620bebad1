import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import checkpoint_steps, read_variables
from tlj.training.checkpoints import Checkpoints
from tlj.training.compiled import abstract_state, initial_state
from tlj.training.programs import Programs

IDENTITY = {"phase": "p", "config": "c"}


@pytest.fixture(scope="module")
def state(tiny_run):
    setup = tiny_run()
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    return setup, initial_state(setup, setup.phases[0], variables, Programs())


def test_a_state_comes_back_bit_for_bit_with_its_structure_and_digests(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        checkpoints.save(whole, {"a": "1"})
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        restored, digests = checkpoints.restore_latest(abstract_state(setup, setup.phases[0]))
    assert digests == {"a": "1"}
    assert jax.tree.structure(restored) == jax.tree.structure(whole)
    for ours, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(whole), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_a_new_run_has_nothing_to_restore(state, tmp_path):
    setup, _ = state
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        assert checkpoints.restore_latest(abstract_state(setup, setup.phases[0])) is None


def test_the_latest_are_kept_and_no_others(state, tmp_path):
    _, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(whole.replace(step=jnp.int32(step)), {})
    assert checkpoint_steps(tmp_path) == [2, 3]


def test_a_save_that_was_cut_is_not_read_and_is_cleaned_up(state, tmp_path):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        checkpoints.save(whole.replace(step=jnp.int32(4)), {})
    half = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    half.mkdir()
    assert read_variables(tmp_path)[1] == 4
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        restored, _ = checkpoints.restore_latest(abstract_state(setup, setup.phases[0]))
    assert int(restored.step) == 4
    assert not half.exists()


@pytest.mark.parametrize("name", ["phase", "config"])
def test_a_checkpoint_of_another_identity_is_refused_by_name(state, tmp_path, name):
    setup, whole = state
    with Checkpoints(tmp_path / "checkpoints", 2, IDENTITY) as checkpoints:
        checkpoints.save(whole, {})
    with (
        Checkpoints(tmp_path / "checkpoints", 2, {**IDENTITY, name: "other"}) as checkpoints,
        pytest.raises(InputError, match=f"has another {name}"),
    ):
        checkpoints.restore_latest(abstract_state(setup, setup.phases[0]))


def test_two_threads_may_save_at_once(state, tmp_path):
    _, whole = state
    errors = []

    def save(name):
        try:
            with Checkpoints(tmp_path / name / "checkpoints", 2, IDENTITY) as checkpoints:
                for step in (1, 2, 3):
                    checkpoints.save(whole.replace(step=jnp.int32(step)), {})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not errors
    assert checkpoint_steps(tmp_path / "a") == checkpoint_steps(tmp_path / "b") == [2, 3]
