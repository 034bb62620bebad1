"""One step body, whatever it is wrapped in: the same losses on any devices, in parts, and several steps to a call."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

STEPS, BATCH, DEVICES = 20, 16, 4
# Devices are asked for before JAX starts, so in a process of its own. One line of JSON comes out for each config.
SCRIPT = """
import json, pathlib, sys
devices, configs = json.load(sys.stdin)
import jax
jax.config.update("jax_num_cpu_devices", devices)
import numpy as np
from tlj.training.clock import Clock
from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.dues import Dues
from tlj.training.initial import start_variables
from tlj.training.programs import Programs
from tlj.training.setup import set_up
from tlj.training.stepping import StepPrograms, calls_from, take_call
from tlj.training.summary import state_digests

class Losses(list):
    def add(self, metrics, count):
        self.extend(np.atleast_1d(np.asarray(metrics["loss"])).tolist())

for config in configs:
    setup, programs, losses = set_up(config, pathlib.Path(), needs_source=False), Programs(), Losses()
    (phase,) = setup.phases
    state = initial_state(setup, phase, start_variables(setup)[0], programs)
    steps = StepPrograms(setup, phase, 0, programs, Clock())
    with calls_from(setup, 0, Dues.of(setup.config, setup.phases)) as calls:
        for call in calls:
            state = take_call(call, state, run_keys(config["seed"]), steps, losses, lambda count, flops: None)
            jax.block_until_ready(state)
    flops = step_program(setup, phase, programs)[0].flops
    print(json.dumps({"losses": losses, "flops": flops, "digests": state_digests(state)}))
"""

# Everything that is drawn is on: each row must get what it would have had in the whole batch.
DRAWING = {
    "vit": {
        "model": {"settings": {"dropout": 0.1, "attention_dropout": 0.1, "stochastic_depth": 0.2}},
        "data": {"augment": {"shift": 1, "flip": True, "mixup": 0.4}},
    },
    "bert": {"model": {"settings": {"dropout": 0.1}}},
    "resnet": {"data": {"augment": {"shift": 1, "flip": True}}},
}
WAYS = {
    "jit": {},
    "pmap": {"parallel": {"mode": "pmap"}},
    "fsdp": {"parallel": {"fsdp": 2}},
    "pmap in parts": {"parallel": {"mode": "pmap"}, "optimizer": {"accumulate": 2}},
    "several a call": {"steps_per_call": 3},
}
# BatchNorm in parts is another run, which is warned of. Compiling takes time, so not every family goes every way.
CASES = [
    *(("vit", way) for way in WAYS),
    *(("bert", way) for way in ("jit", "pmap")),
    *(("resnet", way) for way in ("jit", "pmap")),
]
BASE = {
    "steps": STEPS,
    "global_batch_size": BATCH,
    "optimizer": {"learning_rate": 1e-3, "warmup": "5 steps"},
    # Windows end within calls of three steps, too.
    "log": {"every": 10},
}


@pytest.fixture(scope="module")
def runs(from_scratch):
    """By (devices, family, way): losses, FLOPs and digests of the parameters after 20 steps."""
    cases = {
        DEVICES: CASES,
        1: [(family, "jit") for family in DRAWING],
    }
    found = {}
    for devices, ways in cases.items():
        configs = [dict(from_scratch(family, BASE, DRAWING[family], WAYS["jit"]).config) for family, _ in ways]
        configs = [merged(config, WAYS[way]) for config, (_, way) in zip(configs, ways, strict=True)]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=json.dumps([devices, configs]),
            # Devices that wait for each other each hold a thread, and XLA has as many as there are cores, or NPROC.
            env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "NPROC": "32"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results = map(json.loads, done.stdout.splitlines())
        found |= {(devices, *way): result for way, result in zip(ways, results, strict=True)}
    return found


def merged(config, changes):
    return {
        **config,
        **{name: {**config[name], **value} if isinstance(value, dict) else value for name, value in changes.items()},
    }


@pytest.mark.parametrize(("family", "way"), CASES)
def test_every_way_gives_the_losses_of_one_device(runs, family, way):
    expected = np.array(runs[1, family, "jit"]["losses"])
    assert len(expected) == STEPS
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(runs[DEVICES, family, way]["losses"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", DRAWING)
def test_every_step_has_a_loss_of_its_own(runs, family):
    assert len(set(np.round(runs[DEVICES, family, "jit"]["losses"], 6))) == STEPS


@pytest.mark.parametrize("family", DRAWING)
def test_pmap_and_jit_cost_the_same(runs, family):
    # The rows of a device are drawn otherwise than those of the batch, which shows in so small a model.
    assert runs[DEVICES, family, "pmap"]["flops"] == pytest.approx(runs[DEVICES, family, "jit"]["flops"], rel=0.05)


def test_a_step_costs_the_same_in_a_call_of_several(runs):
    assert runs[DEVICES, "vit", "several a call"]["flops"] == runs[DEVICES, "vit", "jit"]["flops"]


def test_the_flops_of_a_batch_in_parts_are_those_of_the_batch(runs):
    # So do those of a part, and drawing is a good share of so small a model.
    assert runs[DEVICES, "vit", "pmap in parts"]["flops"] == pytest.approx(
        runs[DEVICES, "vit", "jit"]["flops"], rel=0.15
    )
