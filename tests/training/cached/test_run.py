import pickle

import jax
import numpy as np
import pytest

from tlj.training.cached.extract import depths_of
from tlj.training.cached.run import CachedRun, describe
from tlj.training.compiled import initial_state
from tlj.training.features import extract_features
from tlj.training.initial import start_variables
from tlj.training.programs import Programs

PROGRAMS = Programs()


def test_cached_features_are_those_that_the_head_reads(probe):
    setup, programs = probe(), Programs()
    cached = CachedRun(setup, programs).setup(0)
    found = cached.reader.batch(setup.split.test)["activations"]
    variables, _ = start_variables(setup)
    features = extract_features(setup, programs, variables, setup.split.test).pooled
    np.testing.assert_allclose(found, features, rtol=1e-5, atol=1e-6)


def test_the_reader_of_activations_travels_to_another_process(probe):
    setup = probe()
    reader = CachedRun(setup, PROGRAMS).setup(0).training_reader
    travelled = pickle.loads(pickle.dumps(reader))
    for name, array in reader.batch(setup.split.train[:5]).items():
        np.testing.assert_array_equal(travelled.batch(setup.split.train[:5])[name], array)


def test_it_says_where_steps_start_or_why_nothing_is_cached(probe):
    def said(strategy, **changes):
        setup = probe(strategy=strategy, **changes)
        return describe(setup, depths_of(setup))

    assert "from the features (16 float32, 64 bytes an example)" in said("linear_probe")
    assert "from depth 1 of 2 (5x16 bfloat16, 160 bytes an example)" in said("last_blocks:1", activations="bfloat16")
    assert "nothing is cached" in said("bias_only")
    assert said("linear_probe", activations="none") == ""


@pytest.fixture(scope="module")
def begun(probe):
    """A run of two phases with a boundary each, its state at the start and the digests of that."""
    setup = probe(3, strategy="gradual:1", steps=9)
    run = CachedRun(setup, PROGRAMS)
    variables = run.above(run.variables()[0])
    return run, initial_state(run.setup(0), setup.phases[0], variables, PROGRAMS)


def test_a_checkpoint_of_all_holds_all_and_digests_are_of_all(begun):
    run, state = begun
    assert set(state.params) == {"head"}
    saved = run.saved(state, 0)
    variables, _ = start_variables(run.setup(2))
    jax.tree.map(np.testing.assert_array_equal, saved.params, variables["params"])
    assert len(run.digests(state, 0)) == len(jax.tree.leaves(variables))


def test_a_state_takes_in_what_the_next_phase_needs(begun):
    run, state = begun
    following = run.at_next(state, 0)
    assert set(following.params["backbone"]) == {"block1", "norm"}
    assert jax.tree.structure(run.evaluated(run.whole(state, 0), 0)) == jax.tree.structure(state)


def test_a_checkpoint_of_weights_that_are_drawn_otherwise_now_goes_on_from_its_own(probe, begun):
    _, state = begun
    run = CachedRun(probe(3, strategy="gradual:1", steps=9), PROGRAMS)
    digests = run.digests(state, 0)
    whole = run.whole(state, 0)
    assert set(run.goes_on(whole, digests, 0).params) == {"head"}
    changed = {path: "0" if path.startswith("backbone/block0") else digest for path, digest in digests.items()}
    assert run.goes_on(whole, changed, 0) is whole
    assert not any(run.depths)
    assert run.setup(0).cached is None
