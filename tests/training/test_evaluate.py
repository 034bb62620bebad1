import os
import subprocess
import sys

import numpy as np
import pytest

from tlj.training import evaluate
from tlj.training.compiled import evaluate_program
from tlj.training.evaluate import AHEAD, dividing, predict
from tlj.training.parallel import batch_sharding
from tlj.training.programs import Programs
from tlj.training.setup import variable_shapes


def test_what_is_predicted_does_not_depend_on_the_batch_size_or_the_padding(tiny_run):
    from tlj.pretrained.initialise import initial_variables

    examples = np.arange(3, 40)
    results = []
    for batch_size in (5, 16, 64):
        setup = tiny_run(evaluate={"batch_size": batch_size})
        variables, _ = initial_variables("scratch", setup.spec, None, 0)
        programs = Programs()

        def program_of(batch, setup=setup, programs=programs):
            return evaluate_program(setup, programs, batch).call

        results.append(predict(program_of, variables, setup.reader, examples, batch_size, batch_sharding(setup.mesh)))
    assert results[0].shape == (37, variable_shapes(setup.spec)["params"]["head"]["bias"].size)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-5, atol=1e-6)
    assert len(np.unique(results[0].round(4), axis=0)) == 37


@pytest.mark.parametrize(("may_hang", "under_way"), [(False, AHEAD + 1), (True, 1)])
def test_few_batches_wait_for_the_device_however_many_there_are(tiny_run, monkeypatch, may_hang, under_way):
    monkeypatch.setattr(evaluate, "calls_ahead", lambda most: 0 if may_hang else most)
    setup, waiting, most = tiny_run(), [], []

    class Late:
        """Logits that are there once somebody has waited for them."""

        def __init__(self, rows):
            self._rows = rows
            waiting.append(self)
            most.append(len(waiting))

        def block_until_ready(self):
            if self in waiting:
                waiting.remove(self)

        def __array__(self, dtype=None, copy=None):
            return np.zeros((self._rows, 5), np.float32)

    variables, sharding = {"params": {}, "batch_stats": {}}, batch_sharding(setup.mesh)

    def program_of(batch):
        return lambda params, statistics, batch: Late(len(batch["label"]))

    assert predict(program_of, variables, setup.reader, np.arange(80), 8, sharding).shape == (80, 5)
    assert (len(most), max(most)) == (10, under_way)


@pytest.mark.parametrize(("rows", "devices", "rounded"), [(128, 1, 128), (5, 4, 8), (8, 4, 8), (1, 3, 3)])
def test_rows_are_rounded_up_to_a_multiple_of_the_devices(rows, devices, rounded):
    assert dividing(rows, devices) == rounded


def test_on_eight_devices_any_batch_size_gives_every_example_once():
    script = """
import jax, numpy as np
from tlj.data.sources import open_source
from tlj.training.evaluate import predict
from tlj.training.parallel import batch_sharding, make_mesh, replicated
assert jax.device_count() == 8
mesh, source = make_mesh("jit", 1, {}), open_source("digits")
def means(params, statistics, batch):
    return batch["image"].astype("float32").mean((1, 2)) * params
program = jax.jit(means, out_shardings=replicated(mesh))
examples = np.random.default_rng(0).permutation(len(source.labels))[:37]
wanted = source.images[examples].astype(np.float32).mean((1, 2))
for size in (1, 5, 16, 64):
    variables = {"params": np.float32(1), "batch_stats": {}}
    found = predict(lambda batch: program, variables, source, examples, size, batch_sharding(mesh))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
