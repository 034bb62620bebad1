"""What the checkpoints of a run leave out, and how it comes back."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.training.checkpoints import vars_of
from tlj.training.compiled import abstract_state, initial_state
from tlj.training.delta import delta_of
from tlj.training.initial import start_variables
from tlj.training.programs import Programs


@pytest.fixture(scope="module")
def delta_run(tiny_run):
    """Sets up a tiny run that keeps deltas."""

    def make(strategy, family="vit", **changes):
        values = {"init": "scratch", "checkpoint": {"keep": "trainable"}, **changes}
        return tiny_run(family, strategy=strategy, **values)

    return make


def test_only_what_no_phase_trains_is_left_out(delta_run):
    setup = delta_run("last_blocks:1")
    trained = set(setup.phases[0].trained)
    left_out = delta_of(setup).left_out
    assert left_out.isdisjoint(trained)
    assert left_out | trained == set(setup.phases[0].label_of)
    assert {path.split("/")[1] for path in left_out} == {"embedding", "block0"}


@pytest.mark.parametrize("strategy", ["scratch", "lp_ft:5", "gradual:3", "freeze_out:0.5"])
def test_where_every_leaf_trains_in_some_phase_nothing_is_left_out(delta_run, strategy):
    assert delta_of(delta_run(strategy)) is None


def test_by_default_everything_is_kept(tiny_run):
    assert delta_of(tiny_run(strategy="linear_probe", init="scratch")) is None


def test_what_a_later_phase_trains_is_kept_from_the_first_one_on(delta_run):
    setup = delta_run("gradual:3")
    first_two = dataclasses.replace(setup, phases=setup.phases[:2])
    assert delta_of(first_two).left_out == set(setup.phases[1].label_of) - set(setup.phases[1].trained)


def test_adapters_and_the_head_are_the_runs_own(delta_run):
    setup = delta_run("lora:2")
    left_out = delta_of(setup).left_out
    backbone = {path for path in setup.phases[0].label_of if path.startswith("backbone/")}
    assert left_out == backbone
    # Adapters that do not train are no part of a base either: only this run has drawn them.
    still = tuple((path, label if path.startswith("head/") else "frozen") for path, label in setup.phases[0].labels)
    frozen = dataclasses.replace(setup, phases=(dataclasses.replace(setup.phases[0], labels=still),))
    assert delta_of(frozen).left_out == backbone


def test_a_base_from_scratch_names_no_source(delta_run):
    base = delta_of(delta_run("copy_freeze:1", seed=4)).base
    assert (base.init, base.seed, base.copied, base.source, base.identity) == ("scratch", 4, 1, "", "")


@pytest.mark.parametrize(
    ("strategy", "family"), [("linear_probe", "vit"), ("lora:2", "vit"), ("last_blocks:1", "resnet")]
)
def test_what_was_left_out_and_what_was_kept_are_the_state(delta_run, strategy, family):
    setup = delta_run(strategy, family)
    delta, variables = delta_of(setup), start_variables(setup)[0]
    state = initial_state(setup, setup.phases[0], variables, Programs())
    shapes = vars_of(abstract_state(setup, setup.phases[0]))
    kept = delta.kept(vars_of(state))
    assert set(traverse_util.flatten_dict(kept["params"], sep="/")).isdisjoint(delta.left_out)
    # A leaf that is None would be written all the same.
    assert None not in jax.tree.leaves(kept, is_leaf=lambda leaf: leaf is None)
    base = delta.base_of(leaf_digests(state.params))
    whole = state.replace(**delta.whole(kept, delta.made(base, shapes["params"], "here"), shapes))
    assert jax.tree.structure(whole) == jax.tree.structure(state)
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(state), strict=True):
        assert ours.sharding == theirs.sharding
        np.testing.assert_array_equal(ours, theirs)


def test_a_single_bit_of_the_base_that_differs_is_refused(delta_run):
    setup = delta_run("linear_probe")
    delta, params = delta_of(setup), jax.device_get(start_variables(setup)[0]["params"])
    base = delta.base_of(leaf_digests(params))
    shapes = abstract_state(setup, setup.phases[0]).params
    bias = np.array(params["backbone"]["block0"]["mlp"]["up"]["bias"])
    bias.view(np.uint32)[0] ^= 1
    params["backbone"]["block0"]["mlp"]["up"]["bias"] = bias
    with pytest.raises(InputError, match=f"the base with the hash {base.digest} .* not to be had: .* gives [0-9a-f]+;"):
        dataclasses.replace(delta, start=lambda: params).made(base, shapes, "here")


def test_what_the_run_trains_may_differ_from_its_start(delta_run):
    setup = delta_run("linear_probe")
    delta, params = delta_of(setup), start_variables(setup)[0]["params"]
    base = delta.base_of(leaf_digests(params))
    params["head"]["bias"] = params["head"]["bias"] + 1
    made = dataclasses.replace(delta, start=lambda: params).made(
        base, abstract_state(setup, setup.phases[0]).params, ""
    )
    assert set(made) == delta.left_out
