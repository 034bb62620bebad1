"""Each row of a batch has one mask, in whatever part and on whatever device it is computed."""

import json
import os
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.models.registry import build
from tlj.models.row_dropout import drawn_for
from tlj.rows import ALL, Rows
from tlj.streams import THREEFRY, key

RNGS = {"dropout": key(0, "dropout")}


@pytest.fixture(scope="module")
def logits_of(random_variables):
    """Logits in training of some rows of a batch: ``logits_of(spec, inputs, rows)``."""

    def logits(spec, inputs, rows):
        with drawn_for(rows):
            found, _ = build(spec).apply(random_variables(spec), inputs, train=True, mutable=["batch_stats"], rngs=RNGS)
        return found

    return logits


@pytest.mark.parametrize("family", ["vit", "bert"])
def test_logits_of_parts_on_devices_are_those_of_the_whole_batch(family, random_spec, random_inputs, logits_of):
    spec = random_spec(family, 1)
    inputs = random_inputs(spec, 16)
    whole = jax.jit(lambda inputs: logits_of(spec, inputs, ALL))(inputs)

    # Two devices that have 8 rows each, in two parts of 4.
    def on_device(inputs):
        parts = jax.tree.map(lambda array: jnp.swapaxes(array.reshape(4, 2, *array.shape[1:]), 0, 1), inputs)

        def one(carry, indexed):
            part, inputs = indexed
            return carry, logits_of(spec, inputs, Rows("device", 2, 2, part))

        _, found = jax.lax.scan(one, None, (jnp.arange(2), parts))
        return jnp.swapaxes(found, 0, 1).reshape(8, -1)

    halves = jax.tree.map(lambda array: array.reshape(2, 8, *array.shape[1:]), inputs)
    found = jax.jit(jax.vmap(on_device, axis_name="device"))(halves).reshape(16, -1)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("broadcast", "prng"), [((), THREEFRY), ((1, 2), THREEFRY), ((-1,), THREEFRY), ((0,), THREEFRY), ((), "rbg")]
)
def test_what_is_kept_is_what_flax_keeps_bit_by_bit(broadcast, prng):
    rngs = {"dropout": key(0, "dropout", prng)}
    x = np.random.default_rng(0).normal(size=(12, 3, 5)).astype(np.float32)
    layer = nn.Dropout(0.3, broadcast_dims=broadcast)
    expected = layer.apply({}, x, deterministic=False, rngs=rngs)
    found = []
    for part in range(3):
        with drawn_for(Rows(parts=3, part=part)):
            found.append(layer.apply({}, x[part::3], deterministic=False, rngs=rngs))
    np.testing.assert_array_equal(np.stack(found, 1).reshape(12, 3, 5), expected)
    assert 0 < (expected == 0).mean() < 1


def test_rows_of_reduced_precision_stay_so():
    x = jnp.ones((4, 8), jnp.bfloat16)
    with drawn_for(Rows(parts=2)):
        assert nn.Dropout(0.3).apply({}, x, deterministic=False, rngs=RNGS).dtype == jnp.bfloat16


@pytest.mark.parametrize("layer", [nn.Dropout(0.0, deterministic=False), nn.Dropout(0.5, deterministic=True)])
def test_what_drops_nothing_draws_nothing(layer):
    x = np.ones((4, 8), np.float32)
    with drawn_for(Rows(parts=2)):
        assert layer.apply({}, x) is x


def test_parts_counted_by_a_scan_reach_into_blocks_that_keep_nothing(random_spec, random_variables, random_inputs):
    spec = random_spec("vit", 1)
    inputs, module = random_inputs(spec, 4), build(spec, remat="nothing_saveable")

    def loss(params):
        def one(total, part):
            with drawn_for(Rows(parts=2, part=part)):
                logits = module.apply({"params": params}, inputs, train=True, rngs=RNGS)
            return total + logits.sum(), None

        return jax.lax.scan(one, 0.0, jnp.arange(2))[0]

    params = random_variables(spec)["params"]
    gradients = jax.eval_shape(jax.grad(loss), params)
    assert jax.tree.structure(gradients) == jax.tree.structure(params)


def test_for_a_whole_batch_nothing_is_intercepted():
    with drawn_for(ALL):
        assert not nn.module._global_interceptor_stack
        assert nn.Dropout(0.5).apply({}, np.ones((2, 2)), deterministic=False, rngs=RNGS).shape == (2, 2)


# Four devices are asked for before JAX starts, so in a process of its own.
SCRIPT = """
import json
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from tlj.data.augment.chain import augment
from tlj.data.augment.mix import mixed
from tlj.data.images import Augmentation
from tlj.models.registry import build
from tlj.models.row_dropout import drawn_for
from tlj.models.vit import ViTSpec
from tlj.rows import ALL, Rows
from tlj.streams import key

spec = ViTSpec(3, 8, 4, width=16, depth=1, heads=2, dropout=0.3, attention_dropout=0.3, stochastic_depth=0.5)
augmentation = Augmentation(shift=2, flip=True)
images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
targets = np.eye(3, dtype=np.float32)[np.arange(16) % 3]
share = np.linspace(0, 1, 16, dtype=np.float32)

def forward(rows):
    def logits(variables, images, targets, share):
        images = augment(images, key(0, "augment"), augmentation, 8, rows=rows)
        images, targets, _ = mixed(images, targets, None, share[:, None, None], share, rows)
        with drawn_for(rows):
            module, rngs = build(spec, axis_name=rows.axis), {"dropout": key(0, "dropout")}
            return images, targets, module.apply(variables, images / 255, train=True, rngs=rngs)

    return logits

variables = jax.jit(build(spec).init)(key(0, "backbone_init"), spec.example(1))
whole = jax.jit(forward(ALL))(variables, images, targets, share)
mapped = jax.pmap(forward(Rows("device", 4)), "device", in_axes=(None, 0, 0, 0))
found = mapped(variables, images.reshape(4, 4, 8, 8, 3), targets.reshape(4, 4, 3), share.reshape(4, 4))
assert len(found[0].sharding.device_set) == 4
print(json.dumps([float(abs(np.asarray(a) - np.asarray(b).reshape(a.shape)).max()) for a, b in zip(whole, found)]))
"""


def test_a_map_over_real_devices_mixes_and_drops_what_one_program_over_all_does():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    images, targets, logits = json.loads(done.stdout)
    # Of pixels up to 255.
    assert images < 1e-4
    assert targets < 1e-6
    assert logits < 1e-5
