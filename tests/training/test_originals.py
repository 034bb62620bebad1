"""Runs whose devices hold frozen weights in the compute type."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from tlj.freezing.digests import FrozenChangedError, check_phase_end, leaf_digests
from tlj.pretrained.runs import read_variables
from tlj.training import loop
from tlj.training.compiled import initial_state
from tlj.training.compute_type import rounded_in_phase
from tlj.training.initial import start_variables
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.originals import Originals
from tlj.training.programs import Programs
from tlj.training.run_files import read_metrics
from tlj.training.summary import state_digests
from tlj.training.together.train import train_together

PROGRAMS = Programs()
STEPS = {"steps": 9, "log": {"every": 3}, "evaluate": {"every": 3}, "checkpoint": {"every": 1}}


@pytest.fixture(scope="module")
def a_run(tiny_run):
    def make(family="vit", **changes):
        changes = {"strategy": "last_blocks:1", "init": "scratch", "dtype": "bfloat16"} | STEPS | changes
        return tiny_run(family, **changes)

    return make


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def lasting(summary):
    # Rounding weights once instead of at every step is counted, too.
    return {name: value for name, value in summary.items() if name not in ("timing", "cost", "flops", "phases")}


def rows_of(folder):
    return [{k: v for k, v in row.items() if k != "timing"} for row in read_metrics(folder / "metrics.jsonl")]


def same_run(first, second, tolerance=0):
    """Losses and metrics are equal bit for bit, parameters and statistics too unless a tolerance is given."""
    assert rows_of(first) == rows_of(second)
    ours, theirs = (flat(read_variables(folder)[0]) for folder in (first, second))
    assert ours.keys() == theirs.keys()
    for path, leaf in ours.items():
        assert leaf.dtype == theirs[path].dtype == np.float32
        np.testing.assert_allclose(leaf, theirs[path], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("vit", {"strategy": "lora:2", "checkpoint": {"keep": "trainable"}}),
        ("vit", {"cache": {"activations": "bfloat16"}, "data": {"augment": {"shift": 0}}}),
        ("resnet", {}),
    ],
    ids=["adapters, delta", "cached", "resnet"],
)
def test_a_run_is_the_same_bit_for_bit_whichever_type_its_frozen_weights_have(a_run, tmp_path, family, changes):
    summaries = {}
    for kept in ("compute", "float32"):
        setup = a_run(family, frozen_weights=kept, **changes)
        summaries[kept] = train_run(setup, tmp_path / kept, "hash", Surroundings(PROGRAMS))
    assert lasting(summaries["compute"]) == lasting(summaries["float32"])
    assert 0 < summaries["compute"]["flops"]["per_step"] <= summaries["float32"]["flops"]["per_step"]
    if changes.get("strategy") != "lora:2":
        # XLA on CPU adds up the gradient of a convolution's kernel in another order beside another type.
        same_run(tmp_path / "compute", tmp_path / "float32", 1e-7 if family == "resnet" else 0)
    assert rows_of(tmp_path / "compute") == rows_of(tmp_path / "float32")


def test_what_stays_frozen_is_in_the_checkpoint_as_it_was_read(a_run, tmp_path):
    setup = a_run()
    train_run(setup, tmp_path, "hash", Surroundings(PROGRAMS))
    found, began = (flat(tree["params"]) for tree in (read_variables(tmp_path)[0], start_variables(setup)[0]))
    for path in rounded_in_phase(setup, setup.phases[0]):
        np.testing.assert_array_equal(found[path], np.asarray(began[path]))


def stopped_at(end):
    """Surroundings in which a run is told to stop after so many steps of its own."""
    seen = []

    def on_step(done):
        seen.append(done)
        if sum(seen) == end:
            shared.stop.set()

    shared = Surroundings(PROGRAMS, on_step=on_step)
    return shared


def test_a_run_that_thaws_goes_on_with_either_type(a_run, tmp_path):
    rounded, plain = (a_run(strategy="gradual:2", frozen_weights=kept) for kept in ("compute", "float32"))
    assert [phase.start for phase in rounded.phases] == [0, 2, 4, 6]
    # One checkpoint is of the end of a phase, the other of the middle of one.
    for setup, steps in ((rounded, 2), (plain, 1)):
        with pytest.raises(StoppedError):
            train_run(setup, tmp_path / "cut", "hash", stopped_at(steps))
    train_run(rounded, tmp_path / "cut", "hash", Surroundings(PROGRAMS))
    train_run(plain, tmp_path / "whole", "hash", Surroundings(PROGRAMS))
    same_run(tmp_path / "whole", tmp_path / "cut")


def test_runs_that_are_trained_together_share_rounded_weights(a_run, tmp_path):
    def begun(kept, rate):
        setup, folder = a_run(frozen_weights=kept, optimizer={"learning_rate": rate}), tmp_path / f"{kept}{rate}"
        return lambda shared: loop.run_steps(setup, folder, "hash", shared)

    for kept in ("compute", "float32"):
        train_together([begun(kept, rate) for rate in (0.01, 0.02)], 2, Surroundings(PROGRAMS))
    for rate in (0.01, 0.02):
        same_run(tmp_path / f"compute{rate}", tmp_path / f"float32{rate}")
        assert json.loads((tmp_path / f"compute{rate}" / "summary.json").read_text())["timing"]


@pytest.fixture
def begun(a_run):
    setup = a_run()
    variables, _ = start_variables(setup)
    state, originals = initial_state(setup, setup.phases[0], variables, PROGRAMS), Originals(setup, PROGRAMS)
    originals.keep(variables["params"], 0)
    return setup, variables, state, originals


def test_digests_are_those_of_the_originals_as_long_as_the_devices_hold_what_they_are_rounded_to(begun):
    setup, variables, state, originals = begun
    before = originals.digests(state, state_digests(state))
    wanted = leaf_digests(jax.device_get(variables["params"]))
    assert {path: before[path] for path in wanted} == wanted
    path = "backbone/block0/mlp/up/kernel"
    assert path in rounded_in_phase(setup, setup.phases[0])
    params = flat(state.params)
    params[path] = params[path].at[0, 0].add(jnp.bfloat16(1))
    changed = state.replace(params=traverse_util.unflatten_dict(params, sep="/"))
    with pytest.raises(FrozenChangedError, match="mlp/up/kernel"):
        check_phase_end(setup.phases[0], before, originals.digests(changed, state_digests(changed)))


def test_a_state_is_whole_again_bit_for_bit_but_for_what_is_left_out(begun):
    _, variables, state, originals = begun
    jax.tree.map(np.testing.assert_array_equal, originals.whole(state).params, variables["params"])
    assert {leaf.dtype for leaf in jax.tree.leaves(originals.whole(state).params)} == {jnp.dtype("float32")}
    left_out = "backbone/embedding/position"
    assert flat(originals.whole(state, {left_out}).params)[left_out].dtype == jnp.bfloat16
    again = originals.rounded(originals.whole(state), 0)
    jax.tree.map(np.testing.assert_array_equal, again.params, state.params)
