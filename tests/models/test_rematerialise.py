"""What blocks keep for the backward pass changes memory and time, and nothing else."""

import math

import flax.linen as nn
import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.models.lora import Adapters, adapted, adapter_shapes
from tlj.models.registry import FAMILIES, build
from tlj.models.rematerialise import POLICIES
from tlj.models.shapes import model_shapes
from tlj.streams import key

POLICIES = POLICIES[1:]
# Programs that run once are not worth the compiler's best.
FAST = {"xla_backend_optimization_level": 0}


def assert_near(found, expected):
    """Equal but for the order of sums."""
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def loss_of(spec, remat, inputs):
    """The sum of squares of the logits in training, as a function of parameters and statistics, and the statistics."""
    module = build(spec, remat=remat)

    def loss(params, batch_stats):
        variables, rngs = {"params": params, "batch_stats": batch_stats}, {"dropout": key(0, "dropout")}
        logits, updated = module.apply(variables, inputs, train=True, mutable=["batch_stats"], rngs=rngs)
        return (logits**2).sum(), updated.get("batch_stats", {})

    return loss


def kept_bytes(spec, remat, inputs):
    """Bytes that the forward pass keeps for the backward pass, parameters not counted."""
    shapes, loss = model_shapes(spec), loss_of(spec, remat, inputs)

    def backward(params, batch_stats):
        return jax.vjp(lambda params: loss(params, batch_stats)[0], params)[1]

    kept = jax.tree.leaves(jax.eval_shape(backward, shapes["params"], shapes["batch_stats"]))
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in kept) - 4 * parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_variables_start_as_they_do_without(family, random_spec):
    spec = random_spec(family, 2)

    def program(remat):
        return str(jax.make_jaxpr(build(spec, remat=remat).init)(key(0, "backbone_init"), spec.example(1)))

    assert program("nothing_saveable") == program("none")


@pytest.mark.parametrize(
    ("family", "policies"), [("vit", POLICIES[::2]), ("bert", POLICIES[:1]), ("resnet", POLICIES[:1])]
)
def test_loss_gradients_and_statistics_are_those_of_a_block_that_keeps_all(
    family, policies, random_spec, random_variables, random_inputs
):
    spec = random_spec(family, 1)
    variables, inputs = random_variables(spec), random_inputs(spec, 4)

    def results(remat):
        graded = jax.value_and_grad(loss_of(spec, remat, inputs), has_aux=True)
        return jax.jit(graded, compiler_options=FAST)(variables["params"], variables["batch_stats"])

    (expected_value, expected_statistics), expected = results("none")
    for remat in policies:
        (value, statistics), gradients = results(remat)
        np.testing.assert_allclose(value, expected_value, rtol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), statistics, expected_statistics)
        jax.tree.map(assert_near, gradients, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_deep_model_keeps_fewer_bytes_the_less_a_policy_saves(family, random_spec, random_inputs):
    spec = random_spec(family, 12)
    inputs = random_inputs(spec, 8)
    everything, nothing, products = (kept_bytes(spec, remat, inputs) for remat in ("none", *POLICIES[:2]))

    assert nothing < 0.2 * everything
    assert nothing < products < everything


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_below_the_freeze_boundary_is_computed_once(family, random_spec, random_variables, random_inputs):
    spec = random_spec(family, 4)
    variables, inputs = random_variables(spec), random_inputs(spec, 4)

    def flops(remat, *trained):
        def loss(trainable, frozen):
            backbone = {**frozen["backbone"], **trainable.get("backbone", {})}
            return loss_of(spec, remat, inputs)(
                {**frozen, **trainable, "backbone": backbone}, variables["batch_stats"]
            )[0]

        params = variables["params"]
        trainable = {"head": params["head"], "backbone": {name: params["backbone"][name] for name in trained}}
        return jax.jit(jax.grad(loss)).lower(trainable, params).cost_analysis()["flops"]

    forward = flops(POLICIES[0])
    assert forward == flops("none")
    one = flops(POLICIES[0], "block3") - flops("none", "block3")
    whole = flops(POLICIES[0], *variables["params"]["backbone"]) - flops("none", *variables["params"]["backbone"])
    # Of four blocks that are all alike one is computed once more.
    assert 0 < one < 0.3 * forward
    assert whole == pytest.approx(4 * one, rel=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_interceptors_see_the_modules_that_they_see_without(family, random_spec, random_variables, random_inputs):
    spec = random_spec(family, 2)
    variables, inputs = random_variables(spec), random_inputs(spec, 2)

    def seen(remat):
        calls = []

        def record(next_call, args, kwargs, context):
            if context.method_name == "__call__":
                calls.append((type(context.module), context.module.path))
            return next_call(*args, **kwargs)

        with nn.intercept_methods(record):
            jax.eval_shape(loss_of(spec, remat, inputs), variables["params"], variables["batch_stats"])
        return calls

    assert seen("nothing_saveable") == seen("none")


def test_adapters_in_a_block_that_keeps_nothing_get_their_gradients(random_spec, random_variables, random_inputs):
    spec = random_spec("vit", 1)
    variables, inputs = random_variables(spec), random_inputs(spec, 4)
    settings = Adapters(2)
    shapes = adapter_shapes(variables["params"], settings)
    rng = np.random.default_rng(2)
    tree = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)

    def gradients(remat):
        def loss(tree):
            with adapted(tree, settings):
                return loss_of(spec, remat, inputs)(variables["params"], {})[0]

        return jax.jit(jax.grad(loss), compiler_options=FAST)(tree)

    expected = gradients("none")
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(expected))
    jax.tree.map(assert_near, gradients("nothing_saveable"), expected)


def test_evaluation_is_the_same_program_whatever_is_kept(random_spec, random_variables, random_inputs):
    spec = random_spec("vit", 2)

    def program(remat):
        return str(jax.make_jaxpr(build(spec, remat=remat).apply)(random_variables(spec), random_inputs(spec, 2)))

    assert program("nothing_saveable") == program("none")


def test_a_policy_that_does_not_exist_is_refused(random_spec):
    with pytest.raises(InputError, match="unknown remat 'dot_saveable'; did you mean 'dots_saveable'"):
        build(random_spec("vit", 2), remat="dot_saveable")
