"""Which parameters a computation rounds first."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from tlj.models.bert import BERTSpec
from tlj.models.cast_parameters import cast_parameters
from tlj.models.registry import build
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import model_shapes
from tlj.models.vit import ViTSpec

SPECS = {
    "vit": ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2, pool="pooler"),
    "bert": BERTSpec(num_classes=3, vocabulary=50, width=16, depth=2, heads=2, positions=12, types=3),
    "resnet": ResNetSpec(
        num_classes=3, image_size=8, stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 8)
    ),
}
W = {"w": jax.ShapeDtypeStruct((4, 6), jnp.float32)}


def rounds(function):
    return cast_parameters(function, W, dtype=jnp.dtype("bfloat16")) == {"w"}


@pytest.mark.parametrize(
    "function",
    [
        lambda p: p["w"].astype("bfloat16") * 2,
        lambda p: p["w"].T.reshape(-1)[2:9].astype("bfloat16") * 2,
        lambda p: p["w"][jnp.array([0, 2])].astype("bfloat16"),
        lambda p: jax.jit(jnp.transpose)(p["w"]).astype("bfloat16"),
        lambda p: jax.checkpoint(lambda w: jnp.sin(w.astype("bfloat16")))(p["w"]),
        lambda p: jax.grad(lambda x: (x @ p["w"].astype("bfloat16")).sum())(jnp.ones(4, "bfloat16")),
    ],
    ids=["at once", "moved before", "looked up", "moved in a call", "in a checkpoint", "in a gradient of another"],
)
def test_a_parameter_that_is_only_moved_before_it_is_rounded_is_found(function):
    assert rounds(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda p: (p["w"] * 2).astype("bfloat16"),
        lambda p: (p["w"].astype("bfloat16"), p["w"].sum()),
        lambda p: p["w"],
        lambda p: p["w"].T,
        lambda p: p["w"].astype("float16"),
        lambda p: jax.jit(jnp.transpose)(p["w"]),
        lambda p: jax.jit(lambda w: (w * 2).astype("bfloat16"))(p["w"]),
        lambda p: jnp.zeros(8)[p["w"].astype(int)],
        lambda p: jax.lax.cond(True, lambda w: w.astype("bfloat16"), lambda w: w.astype("bfloat16"), p["w"]),
        lambda p: jax.lax.scan(lambda c, w: (c, w.astype("bfloat16")), 0, p["w"])[1],
    ],
    ids=[
        *("arithmetic first", "one use of two", "a result", "a moved result", "another type", "moved in a call"),
        *("arithmetic in a call", "an index", "a program not looked into", "a loop not looked into"),
    ],
)
def test_a_parameter_with_any_other_use_is_left_out(function):
    assert not rounds(function)


def test_what_is_not_float32_is_left_out():
    shapes = {"w": jax.ShapeDtypeStruct((4,), jnp.int32)}
    assert not cast_parameters(lambda p: p["w"].astype("bfloat16"), shapes, dtype=jnp.dtype("bfloat16"))


def found_in(spec):
    shapes, module = model_shapes(spec), build(spec, "bfloat16")
    inputs = spec.example(2)

    def apply(params, batch_stats):
        return module.apply({"params": params, "batch_stats": batch_stats}, inputs)

    return module, shapes, cast_parameters(apply, shapes["params"], shapes["batch_stats"], dtype=jnp.dtype("bfloat16"))


@pytest.mark.parametrize("family", SPECS)
def test_of_every_family_all_but_norms_and_head_is_rounded_first(family):
    _, shapes, found = found_in(SPECS[family])
    others = set(traverse_util.flatten_dict(shapes["params"], sep="/")) - found
    assert others
    assert all("norm/" in path or path.startswith("head/") for path in others)
    assert not any("norm/" in path or path.startswith("head/") for path in found)


@pytest.mark.parametrize("family", SPECS)
def test_a_model_with_what_was_found_in_the_compute_type_says_the_same_bit_for_bit(family):
    module, shapes, found = found_in(SPECS[family])
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32), shapes)
    flat = traverse_util.flatten_dict(drawn["params"], sep="/")
    narrow = {path: leaf.astype(jnp.bfloat16) if path in found else leaf for path, leaf in flat.items()}
    variables = {**drawn, "params": traverse_util.unflatten_dict(narrow, sep="/")}
    apply = jax.jit(lambda variables: module.apply(variables, SPECS[family].example(2)))
    np.testing.assert_array_equal(apply(variables), apply(drawn))


def test_a_layer_that_computes_in_float32_rounds_nothing():
    layer = nn.Dense(3, dtype=jnp.float32)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((2, 4)))["params"]
    found = cast_parameters(
        lambda p: layer.apply({"params": p}, jnp.zeros((2, 4))), shapes, dtype=jnp.dtype("bfloat16")
    )
    assert not found
