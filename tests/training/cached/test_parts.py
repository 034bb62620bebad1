import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.training.cached.parts import above, at_depth, below
from tlj.training.cached.reader import CachedInputs
from tlj.training.compiled import abstract_state
from tlj.training.setup import variable_shapes


def drawn(shapes):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype), shapes)


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_what_is_above_and_what_is_below_make_the_whole(tiny_run, family):
    setup = tiny_run(family, strategy="last_blocks:1", init="scratch", optimizer={"ema": 0.9})
    (phase,) = setup.phases
    whole = drawn(abstract_state(setup, phase))
    held = below({"params": whole.params, "batch_stats": whole.batch_stats}, setup.spec, setup.spec.depth)
    upper = dataclasses.replace(setup, cached=CachedInputs(1, None, None))
    cut = at_depth(whole, abstract_state(upper, phase), held)
    paths = traverse_util.flatten_dict(cut.params, sep="/")
    assert not [path for path in paths if path.startswith(("backbone/embedding", "backbone/block0"))]
    assert [path for path in paths if path.startswith("backbone/block1")]
    # Moments are those of what trains, whatever stands beside them.
    assert len(jax.tree.leaves(cut.opt_state)) == len(jax.tree.leaves(whole.opt_state))
    again = at_depth(cut, abstract_state(setup, phase), held)
    assert jax.tree.structure(again) == jax.tree.structure(whole)
    jax.tree.map(np.testing.assert_array_equal, again, whole)
    without = at_depth(cut, abstract_state(setup, phase), held, left_out=set(held["params"]))
    assert traverse_util.flatten_dict(without.params, sep="/").keys() == paths.keys()


def test_without_a_boundary_all_is_above(tiny_run):
    shapes = variable_shapes(tiny_run("resnet").spec)
    assert above(shapes, tiny_run("resnet").spec, None) == dict(shapes)
    assert above(shapes, tiny_run("resnet").spec, 2)["batch_stats"] == {}
