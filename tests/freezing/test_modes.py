"""Layers in frozen groups behave as in evaluation."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from tlj.freezing.modes import behave_as, dropout_is_on, norm_mode
from tlj.freezing.phases import FROZEN, Group, make_phase
from tlj.models.registry import build
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained.initialise import initial_variables
from tlj.streams import key
from tlj.training.setup import model_layout

RESNET = ResNetSpec(
    num_classes=3, image_size=8, stem="cifar", stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)
)
VIT = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=2, heads=2, dropout=0.5, stochastic_depth=0.5)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(2.0, 3.0, (8, 8, 8, 3)).astype(np.float32)


@functools.cache
def variables_of(spec):
    """Random everywhere, so that no branch is silent and no running statistic is that of a batch."""
    variables, _ = initial_variables("scratch", spec, None, 0)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), variables["params"]
    )
    stats = jax.tree.map(
        lambda leaf: np.asarray(leaf) + rng.uniform(size=leaf.shape).astype(np.float32), variables["batch_stats"]
    )
    return {"params": params, "batch_stats": stats}


def apply(spec, images, *, phase=None, train=True, seed=0):
    """Logits and statistics of a forward pass, in training as the phase says, or plain."""

    def forward(variables, images):
        rngs = {"dropout": key(seed, "dropout")}
        return build(spec).apply(variables, images, train=train, mutable=["batch_stats"], rngs=rngs)

    if phase is None:
        return jax.jit(forward)(variables_of(spec), images)
    with behave_as(phase):
        return jax.jit(forward)(variables_of(spec), images)


def changed_statistics(updated) -> set[str]:
    before = traverse_util.flatten_dict(variables_of(RESNET)["batch_stats"], sep="/")
    after = traverse_util.flatten_dict(updated["batch_stats"], sep="/")
    assert before.keys() == after.keys()
    return {path for path in before if np.asarray(before[path]).tobytes() != np.asarray(after[path]).tobytes()}


def test_a_probe_in_training_gives_the_logits_of_evaluation(images, phase_of):
    evaluated, _ = apply(RESNET, images, train=False)
    probed, updated = apply(RESNET, images, phase=phase_of(RESNET, "linear_probe"))
    np.testing.assert_array_equal(probed, evaluated)
    assert changed_statistics(updated) == set()
    # The batch is unlike the running statistics, so training without a phase is another matter.
    trained, updated = apply(RESNET, images)
    assert np.abs(trained - evaluated).max() > 0.1
    assert len(changed_statistics(updated)) == len(jax.tree.leaves(variables_of(RESNET)["batch_stats"]))


def test_full_training_is_training_as_the_model_was_written(images, phase_of):
    plain, plain_statistics = apply(RESNET, images)
    full, full_statistics = apply(RESNET, images, phase=phase_of(RESNET, "full"))
    np.testing.assert_array_equal(full, plain)
    jax.tree.map(np.testing.assert_array_equal, full_statistics, plain_statistics)


def test_statistics_move_in_the_trained_block_alone(images, phase_of):
    _, updated = apply(RESNET, images, phase=phase_of(RESNET, "last_blocks:1"))
    everywhere = set(traverse_util.flatten_dict(variables_of(RESNET)["batch_stats"], sep="/"))
    assert changed_statistics(updated) == {path for path in everywhere if path.startswith("backbone/block1/")}


def test_a_group_may_train_its_weights_on_frozen_statistics(images, phase_of):
    evaluated, _ = apply(RESNET, images, train=False)
    logits, updated = apply(
        RESNET, images, phase=phase_of(RESNET, "full", groups={"backbone": {"norm_mode": "frozen"}})
    )
    np.testing.assert_array_equal(logits, evaluated)
    assert changed_statistics(updated) == set()


def test_a_probe_has_no_dropout_and_no_stochastic_depth(images, phase_of):
    evaluated, _ = apply(VIT, images, train=False)
    probed, _ = apply(VIT, images, phase=phase_of(VIT, "linear_probe"))
    np.testing.assert_array_equal(probed, evaluated)
    assert np.abs(apply(VIT, images)[0] - evaluated).max() > 0.01


def test_a_group_may_train_without_dropout(images, phase_of):
    evaluated, _ = apply(VIT, images, train=False)
    np.testing.assert_array_equal(
        apply(VIT, images, phase=phase_of(VIT, "full", groups=dict.fromkeys(("backbone", "head"), {"dropout": False})))[
            0
        ],
        evaluated,
    )


def test_dropout_is_on_in_the_trained_block_alone(images, phase_of):
    found = {}

    def record(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if isinstance(context.module, nn.Dropout) and context.module.rate:
            found["/".join(context.module.path)] = kwargs["deterministic"]
        return result

    phase = phase_of(VIT, "last_blocks:1")

    def forward(variables, images):
        return build(VIT).apply(variables, images, train=True, rngs={"dropout": key(0, "dropout")})

    # The interceptor that is entered last stands closest to the module: it sees what the phase made of the call.
    with behave_as(phase), nn.intercept_methods(record):
        jax.eval_shape(forward, variables_of(VIT), images)
    # On each of two residual branches dropout and stochastic depth, and one dropout in the MLP.
    assert {path for path, off in found.items() if not off} == {path for path in found if "/block1/" in path}
    assert len([path for path in found if "/block1/" in path]) == 5
    assert "backbone/embedding/Dropout_0" in found


def test_modes_follow_the_groups_of_the_module_and_not_of_modules_with_a_like_name():
    spec = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=11, heads=2)
    layout = model_layout(spec)
    labels = {path: "tail" if path.startswith("backbone/block10/") else FROZEN for path in layout.depths}
    phase = make_phase(labels, [Group("tail")], layout)
    assert dropout_is_on(phase, "backbone/block10/Dropout_0")
    assert not dropout_is_on(phase, "backbone/block1/Dropout_0")
    assert norm_mode(phase, "backbone/block10/mlp_norm") == "train"
    assert norm_mode(phase, "backbone/block1/mlp_norm") == "frozen"


def test_the_context_ends_where_it_ends(images, phase_of):
    with behave_as(phase_of(RESNET, "linear_probe")):
        pass
    assert changed_statistics(apply(RESNET, jnp.asarray(images))[1])


def test_adapting_norms_normalise_with_the_batch_and_move_their_statistics(images, phase_of):
    phase = phase_of(RESNET, "linear_probe", groups={FROZEN: {"norm_mode": "adapt"}})
    logits, updated = apply(RESNET, images, phase=phase)
    plain, plain_updated = apply(RESNET, images)
    np.testing.assert_array_equal(logits, plain)
    jax.tree.map(np.testing.assert_array_equal, updated, plain_updated)
    assert {norm_mode(phase, module) for module in phase.adapting} == {"adapt"}
    assert len(changed_statistics(updated)) == 2 * len(phase.adapting)


def test_norms_adapt_in_the_group_that_says_so_alone(images, phase_of):
    phase = phase_of(RESNET, "last_blocks:1", groups={"backbone": {"norm_mode": "adapt"}})
    _, updated = apply(RESNET, images, phase=phase)
    everywhere = set(traverse_util.flatten_dict(variables_of(RESNET)["batch_stats"], sep="/"))
    assert changed_statistics(updated) == {path for path in everywhere if path.startswith("backbone/block1/")}
    assert all(label == FROZEN for path, label in phase.labels if "norm/" in path)


def test_dropout_is_on_where_an_adapter_trains(phase_of):
    phase = phase_of(VIT, "lora:2")
    assert not any(label != FROZEN for path, label in phase.labels if path.startswith("backbone/"))
    assert dropout_is_on(phase, "backbone/block0/attention/Dropout_0")
    assert not dropout_is_on(phase, "backbone/block0/mlp/Dropout_0")
    assert not dropout_is_on(phase, "backbone/embedding/Dropout_0")


@pytest.mark.parametrize(("strategy", "norms"), [("linear_probe", 0), ("last_blocks:1", 3), ("full", 6)])
def test_of_norms_over_a_mapped_axis_the_frozen_ones_ask_no_other_device(images, phase_of, strategy, norms):
    module = build(RESNET, axis_name="device")

    def forward(variables, images):
        return module.apply(variables, images, train=True, mutable=["batch_stats"])

    with behave_as(phase_of(RESNET, strategy)):
        program = jax.make_jaxpr(forward, axis_env=[("device", 4)])(variables_of(RESNET), images[:2])
    assert str(program).count("psum") == norms
