import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.freezing.digests import leaf_digests
from tlj.models.lora import ROOT, Adapters
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import read_run
from tlj.training.initial import run_variables
from tlj.training.setup import variable_shapes

ADAPTERS = Adapters(2)


@pytest.fixture(scope="module")
def source(comparison):
    return read_run(comparison[0] / "source")


def test_without_adapters_a_run_starts_from_the_variables_of_its_init(source):
    for init in ("pretrained", "scratch", "mean_var"):
        ours, report = run_variables(init, source.spec, source, 3)
        theirs, their_report = initial_variables(init, source.spec, source, 3)
        assert leaf_digests(ours) == leaf_digests(theirs)
        assert report == their_report


@pytest.mark.parametrize("copied", [1, 2])
def test_blocks_that_are_copied_are_the_sources_and_the_others_are_those_of_a_scratch_run(source, copied):
    variables, report = run_variables("pretrained", source.spec, source, 3, copied=copied)
    digests, loaded = leaf_digests(variables["params"]), leaf_digests(source.variables["params"])
    scratch = leaf_digests(run_variables("scratch", source.spec, None, 3)[0]["params"])
    reset = {path for path in digests if path.startswith("head/") or (copied == 1 and "block1/" in path)}
    if copied == 1:
        reset |= {"backbone/norm/scale", "backbone/norm/bias"} & set(digests)
    for path, digest in digests.items():
        assert digest == (scratch if path in reset else loaded)[path], path
    assert {row.path.removeprefix("params/") for row in report.leaves if row.status == "reset"} == reset


def test_adapters_stand_beside_the_model_and_change_nothing_of_it(source):
    plain, report = run_variables("pretrained", source.spec, source, 3)
    adapted, adapted_report = run_variables("pretrained", source.spec, source, 3, adapters=ADAPTERS)
    low_rank = adapted["params"].pop(ROOT)
    assert leaf_digests(adapted) == leaf_digests(plain)
    assert adapted_report == report
    shapes = variable_shapes(source.spec, ADAPTERS)["params"][ROOT]
    assert jax.tree.map(lambda leaf: leaf.shape, low_rank) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    for path, leaf in traverse_util.flatten_dict(jax.device_get(low_rank)).items():
        # The product of the two is zero until b has moved.
        assert np.any(leaf) == (path[-1] == "a")


def test_a_seed_has_adapters_of_its_own_and_the_same_ones_every_time(source):
    first, again, other = (
        leaf_digests(run_variables("pretrained", source.spec, source, seed, adapters=ADAPTERS)[0]["params"][ROOT])
        for seed in (3, 3, 4)
    )
    assert first == again
    assert all(first[path] != other[path] for path in first if path.endswith("/a"))
