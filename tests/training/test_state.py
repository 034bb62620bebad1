import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.freezing.optimizer import hyperparameters
from tlj.freezing.regulariser import L2SP
from tlj.pretrained.initialise import initial_variables
from tlj.training.state import create_state, thaw_state
from tlj.training.step_settings import StepSettings


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture(scope="module")
def variables(tiny_run):
    return initial_variables("scratch", tiny_run().spec, None, 0)[0]


@pytest.fixture(scope="module")
def states(tiny_run, variables):
    """The two phases of a strategy, a state with a past in the first, and a fresh one in the second."""

    def make(strategy, l2_sp=None, ema=0.0):
        old, new = tiny_run(strategy=strategy, init="scratch").phases[:2]
        settings = StepSettings(l2_sp=l2_sp, ema=ema)
        state = create_state(variables, old, settings, hyperparameters(old))
        state = state.replace(
            step=np.int32(7),
            params=jax.tree.map(lambda leaf: leaf + 1, state.params),
            opt_state=jax.tree.map(lambda leaf: leaf + np.ones((), leaf.dtype), state.opt_state),
            ema=jax.tree.map(lambda leaf: leaf + 2, state.ema),
        )
        fresh = create_state({"params": state.params, "batch_stats": {}}, new, settings, hyperparameters(new))
        return old, new, state, fresh

    return make


def test_a_state_begins_at_step_zero_with_moments_of_what_trains(tiny_run, variables):
    (phase,) = tiny_run(strategy="linear_probe", init="scratch").phases
    state = create_state(variables, phase, StepSettings(), hyperparameters(phase))
    assert int(state.step) == 0
    assert flat(state.params).keys() == set(phase.label_of)
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert sorted(leaf.shape for leaf in moments) == [(5,), (5,), (16, 5), (16, 5)]
    assert state.origin == {}
    assert state.hyperparameters.keys() == {"head"}


def test_the_origin_is_a_copy_of_what_l2_sp_pulls(tiny_run, variables):
    (phase,) = tiny_run(strategy="last_blocks:1", init="scratch").phases
    loaded = tuple(path for path in phase.label_of if path.startswith("backbone/"))
    state = create_state(variables, phase, StepSettings(l2_sp=L2SP(loaded=loaded)), hyperparameters(phase))
    origin = {path: leaf for path, leaf in flat(state.origin).items() if leaf is not None}
    assert origin.keys() == {path for path in phase.trained if path.startswith("backbone/")}
    params = flat(state.params)
    for path, leaf in origin.items():
        np.testing.assert_array_equal(leaf, params[path])
        assert leaf is not params[path]


def test_a_thaw_keeps_step_parameters_and_the_moments_of_groups_that_go_on(states):
    old, new, state, fresh = states("lp_ft:5")
    thawed = thaw_state(state, fresh, old, new)
    assert jax.tree.structure(thawed) == jax.tree.structure(fresh)
    assert int(thawed.step) == 7
    assert thawed.params is state.params
    assert thawed.hyperparameters.keys() == {"backbone", "head"}
    for group, expected in (("head", 1), ("backbone", 0)):
        leaves = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(thawed.opt_state) if path[2].key == group]
        assert leaves
        assert all(np.all(leaf == expected) for leaf in leaves), group


def test_a_phase_that_freezes_drops_the_moments_of_what_it_froze(states):
    old, new, state, fresh = states("freeze_out")
    thawed = thaw_state(state, fresh, old, new)
    groups = {path[2].key for path, _ in jax.tree_util.tree_leaves_with_path(thawed.opt_state)}
    assert groups == {group.name for group in new.groups} == {group.name for group in old.groups} - {"depth0"}
    assert all(np.all(leaf == 1) for leaf in jax.tree.leaves(thawed.opt_state))


def test_what_is_newly_trained_is_pulled_to_where_it_is_and_the_rest_to_its_old_origin(states):
    old, new, *_ = states("gradual:5")
    both = tuple(path for path in new.trained if path.startswith("backbone/")) + ("head/kernel",)
    old, new, state, fresh = states("gradual:5", L2SP(loaded=both))
    thawed = thaw_state(state, fresh, old, new)
    origin = {path: leaf for path, leaf in flat(thawed.origin).items() if leaf is not None}
    assert origin.keys() == set(both)
    before, now = flat(state.origin), flat(state.params)
    # The parameters have moved by one since the first phase began.
    np.testing.assert_allclose(origin["head/kernel"], now["head/kernel"] - 1, atol=1e-6)
    np.testing.assert_array_equal(origin["head/kernel"], before["head/kernel"])
    for path in both[:-1]:
        np.testing.assert_array_equal(origin[path], now[path])


@pytest.mark.parametrize("strategy", ["lp_ft:5", "freeze_out"])
def test_averages_go_on_begin_with_what_is_newly_trained_and_end_with_what_freezes(states, strategy):
    old, new, state, fresh = states(strategy, ema=0.5)
    averages = {path: leaf for path, leaf in flat(thaw_state(state, fresh, old, new).ema).items() if leaf is not None}
    assert averages.keys() == set(new.trained) != set(old.trained)
    before, now = flat(state.ema), flat(state.params)
    for path, leaf in averages.items():
        np.testing.assert_array_equal(leaf, before[path] if path in old.trained else now[path], err_msg=path)


def test_a_state_cannot_be_changed(tiny_run, variables):
    (phase,) = tiny_run().phases
    state = create_state(variables, phase, StepSettings(), hyperparameters(phase))
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.step = 3
