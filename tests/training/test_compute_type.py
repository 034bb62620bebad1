"""What programs take in the compute type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from tlj.training.compiled import abstract_state, initial_state, lower_step
from tlj.training.compute_type import (
    evaluation_params,
    rounded_arrays,
    rounded_in_evaluation,
    rounded_in_phase,
    rounds_ahead,
)
from tlj.training.initial import start_variables
from tlj.training.programs import Programs


def a_run(tiny_run, **changes):
    return tiny_run(**{"strategy": "last_blocks:1", "init": "scratch", "dtype": "bfloat16"} | changes)


def types_of(state):
    return {path: leaf.dtype for path, leaf in traverse_util.flatten_dict(state.params, sep="/").items()}


@pytest.mark.parametrize(
    "changes", [{"dtype": "float32"}, {"frozen_weights": "float32"}, {"parallel": {"mode": "pmap"}}], ids=str
)
def test_nothing_is_rounded_ahead_where_nothing_is_rounded_or_nobody_asks_or_the_step_is_divided_by_hand(
    tiny_run, changes
):
    setup = a_run(tiny_run, **changes)
    assert not rounds_ahead(setup)
    assert not rounded_in_phase(setup, setup.phases[0]) | rounded_in_evaluation(setup)
    assert set(types_of(abstract_state(setup, setup.phases[0])).values()) == {jnp.dtype("float32")}


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_frozen_kernels_are_rounded_and_trained_ones_norms_and_head_are_not(tiny_run, family):
    setup = a_run(tiny_run, family=family)
    phase = setup.phases[0]
    found = rounded_in_phase(setup, phase)
    assert {path for path, _ in phase.labels if path.endswith("kernel")} - set(phase.trained) == found & {
        path for path in found if path.endswith("kernel")
    }
    assert not found & set(phase.trained)
    assert not any("norm/" in path for path in found)


def test_adapters_stay_and_what_they_adapt_is_rounded(tiny_run):
    setup = a_run(tiny_run, strategy="lora:2")
    found = rounded_in_phase(setup, setup.phases[0])
    assert "backbone/block0/attention/query_key_value/kernel" in found
    assert not any(path.startswith("lora/") for path in found)


def test_the_step_takes_half_the_bytes_of_what_is_rounded_and_no_more_flops(tiny_run):
    def memory_of(kept):
        setup = a_run(tiny_run, frozen_weights=kept)
        lowered = lower_step(setup, setup.phases[0])
        memory = lowered.compile().memory_analysis()
        return setup, memory.argument_size_in_bytes, lowered.cost_analysis()["flops"]

    (setup, narrow, flops), (_, wide, flops_before) = memory_of("compute"), memory_of("float32")
    found, shapes = rounded_in_phase(setup, setup.phases[0]), abstract_state(setup, setup.phases[0]).params
    elements = sum(leaf.size for path, leaf in traverse_util.flatten_dict(shapes, sep="/").items() if path in found)
    assert elements > 3000
    # XLA may count a few bytes more or less for the addresses of its arguments.
    assert wide - narrow == pytest.approx(2 * elements, abs=64)
    assert flops <= flops_before


def test_the_state_begins_with_what_was_read_as_jax_rounds_it(tiny_run):
    setup = a_run(tiny_run)
    phase, (variables, _) = setup.phases[0], start_variables(setup)
    state = initial_state(setup, phase, variables, Programs())
    found = rounded_in_phase(setup, phase)
    began = traverse_util.flatten_dict(variables["params"], sep="/")
    for path, leaf in traverse_util.flatten_dict(state.params, sep="/").items():
        wanted = np.asarray(began[path]).astype(jnp.bfloat16) if path in found else np.asarray(began[path])
        assert leaf.dtype == wanted.dtype
        np.testing.assert_array_equal(np.asarray(leaf), wanted)
    assert types_of(abstract_state(setup, phase)) == types_of(state)


def test_one_evaluation_takes_every_phase(tiny_run):
    setup, programs = a_run(tiny_run), Programs()
    variables, _ = start_variables(setup)
    whole = jax.device_put(
        variables["params"], jax.tree.leaves(abstract_state(setup, setup.phases[0]).step)[0].sharding
    )
    state = initial_state(setup, setup.phases[0], variables, programs)
    from_whole, from_phase = (evaluation_params(setup, params, programs) for params in (whole, state.params))
    jax.tree.map(np.testing.assert_array_equal, from_whole, from_phase)
    narrow = {path for path, leaf in traverse_util.flatten_dict(from_whole, sep="/").items() if leaf.dtype != "float32"}
    assert narrow == rounded_in_evaluation(setup) > rounded_in_phase(setup, setup.phases[0])


def test_what_is_rounded_already_is_taken_as_it_is():
    leaf = jnp.ones(3, jnp.bfloat16)
    assert rounded_arrays({"a": leaf, "b": jnp.ones(2)}, {"a", "c"}, "bfloat16", Programs())["a"] is leaf
