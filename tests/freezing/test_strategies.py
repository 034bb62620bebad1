"""Strategies: what they train and what that costs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tlj.data.images import Augmentation, Preprocessing
from tlj.errors import InputError
from tlj.freezing.optimizer import OptimizerSettings, build_optimizer, hyperparameters
from tlj.freezing.partition import FROZEN, Layout
from tlj.freezing.strategies import parse_strategy, resolve_init
from tlj.models.registry import build
from tlj.models.vit import ViTSpec
from tlj.streams import key
from tlj.training.setup import model_layout, variable_shapes
from tlj.training.state import create_state
from tlj.training.step import make_train_step

BLOCKS = 3
LAYOUT = Layout(
    {
        "backbone/embedding/kernel": 0,
        **{f"backbone/block{i}/kernel": i + 1 for i in range(BLOCKS)},
        "backbone/norm/scale": BLOCKS,
        "head/kernel": BLOCKS + 1,
        "head/bias": BLOCKS + 1,
    },
    blocks=BLOCKS,
)
HEAD = {"head/kernel", "head/bias"}


def trained(text: str) -> set[str]:
    (phase,) = parse_strategy(text).phases(LAYOUT)
    assert phase.start == 0
    assert set(phase.label_of) == set(LAYOUT.depths)
    return set(phase.trained)


@pytest.mark.parametrize("text", ["full", "scratch"])
def test_full_and_scratch_train_everything(text):
    assert trained(text) == set(LAYOUT.depths)


def test_scratch_and_full_have_one_phase_so_that_they_share_a_compiled_step():
    digests = {parse_strategy(text).phases(LAYOUT)[0].digest for text in ("full", "scratch", "last_blocks:2")}
    assert len(digests) == 2


def test_linear_probe_trains_the_head_alone():
    assert trained("linear_probe") == HEAD


@pytest.mark.parametrize("k", [1, 2, 3])
def test_last_blocks_train_the_last_k_blocks_the_final_norm_and_the_head(k):
    blocks = {f"backbone/block{i}/kernel" for i in range(BLOCKS - k, BLOCKS)}
    assert trained(f"last_blocks:{k}") == HEAD | blocks | {"backbone/norm/scale"}


def test_backbone_and_head_are_groups_of_their_own():
    (phase,) = parse_strategy("last_blocks:1").phases(LAYOUT)
    assert [group.name for group in phase.groups] == ["backbone", "head"]
    assert {path for path, label in phase.labels if label == "head"} == HEAD
    assert phase.label_of["backbone/block0/kernel"] == FROZEN


@pytest.mark.parametrize(("k", "nearest"), [(0, 1), (4, 3), (99, 3)])
def test_more_blocks_than_there_are_or_none_are_refused_with_the_nearest(k, nearest):
    with pytest.raises(
        InputError, match=f"last_blocks:{k} on a model of 3 blocks; did you mean 'last_blocks:{nearest}'"
    ):
        parse_strategy(f"last_blocks:{k}").phases(LAYOUT)


@pytest.mark.parametrize("text", ["last_blocks", "last_blocks:", "last_blocks:1:2", "last_blocks:-1", "last_blocks:one",
                                  "full:1", "linear_probe:2"])  # fmt: skip
def test_arguments_that_a_strategy_does_not_take_are_refused_with_an_example(text):
    with pytest.raises(InputError, match=rf"config\.strategy: strategy '{text}' takes \d whole number.*write '"):
        parse_strategy(text)


def test_an_unknown_strategy_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"arms\[1\]: unknown strategy 'linear_prob'; did you mean 'linear_probe'"):
        parse_strategy("linear_prob", where="config.arms[1]")


@pytest.mark.parametrize(
    ("text", "init"), [("scratch", "scratch"), ("full", "pretrained"), ("linear_probe", "pretrained"),
                       ("last_blocks:1", "pretrained")]
)  # fmt: skip
def test_every_strategy_has_an_init_of_its_own(text, init):
    assert resolve_init(parse_strategy(text), "") == init


def test_an_init_that_is_named_wins():
    assert resolve_init(parse_strategy("full"), "mean_var") == "mean_var"


def test_an_init_that_does_not_exist_or_contradicts_the_strategy_is_refused():
    with pytest.raises(InputError, match=r"unknown init 'meanvar'; did you mean 'mean_var'"):
        resolve_init(parse_strategy("full"), "meanvar")
    with pytest.raises(InputError, match="strategy 'scratch' cannot start from init 'pretrained'"):
        resolve_init(parse_strategy("scratch"), "pretrained")


# Twelve blocks in which matrix products with the weights dominate, as they do in ViT-B/16.
PROPORTIONED = ViTSpec(num_classes=10, image_size=64, patch_size=8, width=192, depth=12, heads=3)
SMALL = ViTSpec(num_classes=10, image_size=32, patch_size=8, width=96, depth=2, heads=3)
BATCH = 16


def inputs_of(spec: ViTSpec):
    images = jax.ShapeDtypeStruct((BATCH, *spec.input_shape), jnp.uint8)
    batch = {"image": images, "label": jax.ShapeDtypeStruct((BATCH,), jnp.int32)}
    return batch, {name: key(0, name) for name in ("augment", "dropout")}


def flops_of(function, *arguments) -> float:
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def step_flops(spec: ViTSpec, strategy: str) -> float:
    """Floating-point operations of the compiled step, as the compiler counts them."""
    (phase,) = parse_strategy(strategy).phases(model_layout(spec))
    settings, variables = OptimizerSettings(clip_norm=1.0), variable_shapes(spec)
    numbers = hyperparameters(phase, learning_rate=1e-3, weight_decay=0.1, steps=10, warmup_steps=1)
    optimizer = build_optimizer(variables["params"], phase, settings)
    state = jax.eval_shape(lambda v: create_state(v, phase, optimizer, numbers), variables)
    preprocessing = Preprocessing(spec.image_size, (0.5,) * 3, (0.5,) * 3)
    step = make_train_step(build(spec), phase, settings, preprocessing, Augmentation())
    return flops_of(step, state, *inputs_of(spec))


@pytest.fixture(scope="session")
def full_flops():
    return step_flops(PROPORTIONED, "full")


# ViT-B/16 itself has .334 and .383. Its width is four times its number of tokens, here three times, and an elementwise
# operation weighs four times as much at a quarter of the width: both make a forward pass dearer beside the products.
@pytest.mark.parametrize(("strategy", "expected"), [("linear_probe", 0.334), ("last_blocks:1", 0.383)])
def test_a_step_costs_what_it_trains(full_flops, strategy, expected):
    assert step_flops(PROPORTIONED, strategy) / full_flops == pytest.approx(expected, abs=0.02)


def test_a_probe_costs_a_forward_pass_and_a_norm_over_all_gradients_brings_the_backward_back():
    module, variables = build(SMALL), variable_shapes(SMALL)
    batch, _ = inputs_of(SMALL)
    images = jax.ShapeDtypeStruct((BATCH, *SMALL.input_shape), jnp.float32)

    def loss_of(params, images, labels):
        logits = module.apply({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def probe_with_a_norm_over_all(params, images, labels):
        loss, gradients = jax.value_and_grad(loss_of)(params, images, labels)
        return loss, gradients["head"], optax.tree.norm(gradients)

    arguments = (variables["params"], images, batch["label"])
    forward, trap = flops_of(loss_of, *arguments), flops_of(probe_with_a_norm_over_all, *arguments)
    probe = step_flops(SMALL, "linear_probe")
    assert probe / forward == pytest.approx(1.0, abs=0.05)
    assert trap / forward > 2.5
    assert np.isfinite(trap)
