"""What devices add up: the gradients of what trains, two scalars, the batch statistics of norms that train, no more."""

import collections
import json
import math
import os
import subprocess
import sys

import pytest

from tlj.training.summary import parameter_sizes

# Four devices are asked for before JAX starts, so in a process of its own.
SCRIPT = """
import json, pathlib, sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
from tlj.benchmark.collectives import reduced_arrays
from tlj.training.compiled import lower_step
from tlj.training.setup import set_up

for config in json.load(sys.stdin):
    setup = set_up(config, pathlib.Path(), needs_source=False)
    assert setup.mesh.size == 4
    found = [reduced_arrays(lower_step(setup, phase).compile().as_text()) for phase in setup.phases]
    print(json.dumps([[(array.operation, array.dtype, array.shape) for array in arrays] for arrays in found]))
"""
CASES = [
    *(("vit", strategy) for strategy in ("linear_probe", "last_blocks:1", "full", "bias_only", "lora:2")),
    ("bert", "last_blocks:1"),
    *(("resnet", strategy) for strategy in ("linear_probe", "last_blocks:1", "full")),
]
# Beside loss and accuracy there is nothing to agree on: the gradient norm is of gradients that are the same everywhere.
SCALARS = 2


@pytest.fixture(scope="module")
def reduced(from_scratch):
    """By case: the setup and, for each phase, the (operation, dtype, shape) of every array that is reduced."""
    setups = [from_scratch(family, {"strategy": strategy, "init": "scratch"}) for family, strategy in CASES]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([setup.config for setup in setups]),
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return dict(zip(CASES, zip(setups, found, strict=True), strict=True))


def sizes(arrays):
    return [math.prod(shape) for _, _, shape in arrays if shape]


@pytest.mark.parametrize(("family", "strategy"), [case for case in CASES if case[0] != "resnet"])
def test_a_step_carries_the_bytes_of_what_trains_and_two_scalars(reduced, family, strategy):
    setup, by_phase = reduced[family, strategy]
    elements = parameter_sizes(setup)
    assert len(by_phase) == len(setup.phases)
    for phase, arrays in zip(setup.phases, by_phase, strict=True):
        assert {(operation, dtype) for operation, dtype, _ in arrays} == {("all-reduce", "f32")}
        assert sum(sizes(arrays)) == sum(elements[path] for path in phase.trained)
        assert len([shape for _, _, shape in arrays if not shape]) == SCALARS


def test_a_full_step_carries_every_leaf_and_a_probe_two(reduced):
    setup, (arrays,) = reduced["vit", "full"]
    assert sorted(sizes(arrays)) == sorted(parameter_sizes(setup).values())
    setup, (arrays,) = reduced["vit", "linear_probe"]
    width, classes = setup.spec.width, setup.spec.num_classes
    assert sorted(sizes(arrays)) == [classes, width * classes]


@pytest.mark.parametrize("strategy", ["linear_probe", "last_blocks:1", "full"])
def test_a_resnet_adds_the_batch_statistics_of_the_norms_that_train(reduced, strategy):
    setup, (arrays,) = reduced["resnet", strategy]
    (phase,) = setup.phases
    elements = parameter_sizes(setup)
    # Every device normalises with the statistics of the whole batch: the mean and the mean of squares on the way up and
    # the gradient of the mean on the way down; that of the variance follows from the gradient of the scale.
    statistics = [3 * [elements[path]] for path in phase.trained if path.endswith("norm/scale")]
    assert len(statistics) == {"linear_probe": 0, "last_blocks:1": 3, "full": 6}[strategy]
    assert sum(sizes(arrays)) == sum(elements[path] for path in phase.trained) + sum(sum(statistics, []))
    # On a CPU the gradient of a convolution is a product, and a sum over devices, for each place of its kernel.
    others = [elements[path] for path in phase.trained if not path.endswith("conv/kernel")]
    assert not collections.Counter([*others, *sum(statistics, [])]) - collections.Counter(sizes(arrays))
    assert len([shape for _, _, shape in arrays if not shape]) == SCALARS
