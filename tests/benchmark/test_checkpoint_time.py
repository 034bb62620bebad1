import functools

import jax

from tlj.benchmark.checkpoint_time import _state, measure_checkpoint


def test_the_state_has_about_as_many_parameters_as_asked_for_and_two_moments_of_each():
    for parameters in (5_000, 100_000_000):
        state = jax.eval_shape(functools.partial(_state, parameters))
        counted = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        assert abs(counted - parameters) < 24 * 1024
        (moments,) = state.opt_state
        assert jax.tree.map(lambda leaf: leaf.shape, (moments.mu, moments.nu)) == (
            jax.tree.map(lambda leaf: leaf.shape, (state.params, state.params))
        )


def test_a_checkpoint_is_timed_and_nothing_is_left_on_the_disk(tmp_path):
    figures = measure_checkpoint(tmp_path, 3_000_000, repeats=1)
    assert abs(figures["parameters"] - 3_000_000) < 2048
    assert 3 * 4 * figures["parameters"] <= figures["bytes"] < 3 * 4 * figures["parameters"] + 100
    assert 0 < figures["blocked_s"] < figures["write_s"]
    assert figures["blocked_share"] == figures["blocked_s"] / figures["write_s"]
    assert not list(tmp_path.iterdir())
