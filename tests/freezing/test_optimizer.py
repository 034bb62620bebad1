"""One optimizer per phase."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from tlj.freezing.optimizer import OptimizerSettings, build_optimizer, decays, hyperparameters, learning_rates
from tlj.freezing.partition import FROZEN, Group, Layout, make_phase, split

SHAPES = {
    "backbone/embedding/kernel": (5, 4),
    "backbone/block0/norm/scale": (4,),
    "backbone/block0/mlp/kernel": (4, 4),
    "backbone/block0/attention/query_key_value_kernel": (4, 3, 4),
    "backbone/block0/attention/query_key_value_bias": (3, 4),
    "head/kernel": (4, 2),
    "head/bias": (2,),
}
LAYOUT = Layout({path: 2 if path.startswith("head") else 1 for path in SHAPES}, blocks=1)
KERNELS = {path for path in SHAPES if path.endswith("kernel")}


def random_tree(seed: int, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    flat = {path: jnp.asarray(scale * rng.normal(size=shape), jnp.float32) for path, shape in SHAPES.items()}
    return traverse_util.unflatten_dict(flat, sep="/")


def phase_of(label, groups):
    return make_phase({path: label(path) for path in SHAPES}, groups, LAYOUT)


def two_groups(**backbone):
    """The embedding is frozen; the block and the head are groups of their own."""

    def label(path: str) -> str:
        return FROZEN if "embedding" in path else path.split("/")[0]

    return phase_of(label, (Group("backbone", **backbone), Group("head")))


ONE_GROUP = phase_of(lambda path: "all", (Group("all"),))


def numbers_of(phase, learning_rate=0.1, weight_decay=0.0, steps=100, warmup_steps=0):
    return hyperparameters(
        phase, learning_rate=learning_rate, weight_decay=weight_decay, steps=steps, warmup_steps=warmup_steps
    )


def updates_of(phase, settings, gradients, *, step=0, params=None, **numbers):
    """The first update that a phase's optimizer gives, by path; None where it is frozen."""
    params = random_tree(0) if params is None else params
    trainable, _ = split(params, phase)
    gradients, _ = split(gradients, phase)
    optimizer = build_optimizer(params, phase, settings)
    updates, _ = optimizer.update(
        gradients, optimizer.init(trainable), trainable, step=step, hyperparameters=numbers_of(phase, **numbers)
    )
    return traverse_util.flatten_dict(updates, sep="/")


def test_frozen_leaves_have_no_optimizer_state():
    phase, params = two_groups(), random_tree(0)
    trainable, _ = split(params, phase)
    state = build_optimizer(params, phase, OptimizerSettings("adamw", "cosine", 1.0)).init(trainable)
    trained = sum(np.prod(SHAPES[path]) for path in phase.trained)
    arrays = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(leaf.size for leaf in arrays) == 2 * trained
    assert not any(leaf.shape == SHAPES["backbone/embedding/kernel"] for leaf in arrays)


def test_momentum_is_the_only_state_of_sgd():
    phase, params = two_groups(), random_tree(0)
    state = build_optimizer(params, phase, OptimizerSettings("sgd", "constant", 1.0)).init(split(params, phase)[0])
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == sum(np.prod(SHAPES[path]) for path in phase.trained)


def test_frozen_leaves_have_no_update_even_with_weight_decay():
    updates = updates_of(two_groups(), OptimizerSettings(), random_tree(1), weight_decay=0.5)
    assert updates["backbone/embedding/kernel"] is None
    assert all(updates[path] is not None for path in two_groups().trained)


def test_clipping_is_over_all_trainable_leaves_together():
    phase, clip_norm, rate = two_groups(), 0.5, 0.1
    gradients = traverse_util.flatten_dict(random_tree(1), sep="/")
    # The groups differ in norm, and the frozen leaf would dwarf both if the clip saw it.
    gradients = {path: leaf * (5.0 if path.startswith("head") else 1.0) for path, leaf in gradients.items()}
    gradients["backbone/embedding/kernel"] *= 1e6
    settings = OptimizerSettings("sgd", "constant", clip_norm)
    updates = updates_of(phase, settings, traverse_util.unflatten_dict(gradients, sep="/"), learning_rate=rate)

    def norm(paths):
        return np.sqrt(sum(np.sum(np.square(np.asarray(gradients[path], np.float64))) for path in paths))

    assert norm(phase.trained) > clip_norm
    for path in phase.trained:
        # The first step of Nesterov momentum 0.9 is 1.9 times the gradient.
        direction = -rate * 1.9 * np.asarray(gradients[path], np.float64)
        together = direction * clip_norm / norm(phase.trained)
        by_group = direction * clip_norm / norm([p for p in phase.trained if p.split("/")[0] == path.split("/")[0]])
        np.testing.assert_allclose(updates[path], together, rtol=1e-5)
        assert not np.allclose(updates[path], by_group, rtol=1e-2)


def test_small_gradients_are_not_clipped_and_zero_clips_nothing():
    small, large = random_tree(1, 1e-3), random_tree(1, 1e3)
    for gradients, clip_norm in ((small, 1.0), (large, 0.0)):
        updates = updates_of(ONE_GROUP, OptimizerSettings("sgd", "constant", clip_norm), gradients)
        wanted = traverse_util.flatten_dict(gradients, sep="/")
        for path in SHAPES:
            np.testing.assert_allclose(updates[path], -0.1 * 1.9 * wanted[path], rtol=1e-5)


def test_weight_decay_pulls_kernels_and_nothing_else():
    zeros = jax.tree.map(jnp.zeros_like, random_tree(0))
    updates = updates_of(ONE_GROUP, OptimizerSettings("adamw", "constant"), zeros, learning_rate=0.1, weight_decay=0.5)
    params = traverse_util.flatten_dict(random_tree(0), sep="/")
    for path in SHAPES:
        expected = -0.1 * 0.5 * params[path] if path in KERNELS else np.zeros(SHAPES[path])
        np.testing.assert_allclose(updates[path], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("kernel", True), ("query_key_value_kernel", True), ("bias", False), ("query_key_value_bias", False),
     ("scale", False), ("position", False), ("class_token", False)],
)  # fmt: skip
def test_only_kernels_decay(name, expected):
    assert decays(name) is expected


def test_weight_decay_is_not_clipped():
    gradients = random_tree(1, 100.0)
    settings = OptimizerSettings("sgd", "constant", 1e-6)
    updates = updates_of(ONE_GROUP, settings, gradients, learning_rate=0.1, weight_decay=0.5)
    np.testing.assert_allclose(updates["head/kernel"], -0.05 * random_tree(0)["head"]["kernel"], rtol=1e-3, atol=1e-6)


def test_one_group_at_a_constant_rate_is_adamw_of_optax():
    params = ours = theirs = random_tree(0)
    mask = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key.endswith("kernel"), params)
    reference = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.01, weight_decay=0.1, mask=mask))
    optimizer = build_optimizer(params, ONE_GROUP, OptimizerSettings("adamw", "constant", 1.0))
    state, reference_state = optimizer.init(params), reference.init(params)
    numbers = numbers_of(ONE_GROUP, learning_rate=0.01, weight_decay=0.1)
    for step in range(10):
        gradients = random_tree(100 + step)
        updates, state = optimizer.update(gradients, state, ours, step=step, hyperparameters=numbers)
        ours = optax.apply_updates(ours, updates)
        updates, reference_state = reference.update(gradients, reference_state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_schedule_reads_the_global_step_and_not_how_often_the_optimizer_was_asked():
    settings = OptimizerSettings("sgd", "linear", 0.0)
    first, later = (updates_of(ONE_GROUP, settings, random_tree(1), step=step, steps=100) for step in (0, 75))
    for path in SHAPES:
        np.testing.assert_allclose(later[path], 0.25 * first[path], rtol=1e-5)


def test_a_group_multiplies_the_rate_by_its_factor():
    settings = OptimizerSettings("sgd", "constant", 0.0)
    slow = updates_of(two_groups(learning_rate=0.1), settings, random_tree(1))
    usual = updates_of(two_groups(), settings, random_tree(1))
    for path in two_groups().trained:
        factor = 0.1 if path.startswith("backbone") else 1.0
        np.testing.assert_allclose(slow[path], factor * usual[path], rtol=1e-5)


def test_learning_rates_name_every_group_with_its_rate_at_the_step():
    phase = two_groups(learning_rate=0.5)
    numbers = numbers_of(phase, learning_rate=0.2, steps=110, warmup_steps=10)
    rates = learning_rates(OptimizerSettings(schedule="cosine"), numbers, 60)
    assert {name: float(rate) for name, rate in rates.items()} == pytest.approx({"backbone": 0.05, "head": 0.1})


def test_one_compiled_optimizer_serves_every_rate_decay_and_length():
    phase, params = two_groups(), random_tree(0)
    trainable, _ = split(params, phase)
    gradients, _ = split(random_tree(1), phase)
    optimizer = build_optimizer(params, phase, OptimizerSettings())

    @jax.jit
    def update(state, step, numbers):
        return optimizer.update(gradients, state, trainable, step=step, hyperparameters=numbers)[0]

    results = [
        update(optimizer.init(trainable), step, numbers_of(phase, rate, decay, steps, warmup_steps))
        for step, rate, decay, steps, warmup_steps in (
            (0, 0.1, 0.0, 100, 0),
            (7, 0.01, 0.1, 20, 3),
            (3, 1.0, 0.5, 9, 9),
        )
    ]
    assert update._cache_size() == 1
    norms = [float(optax.tree.norm(result)) for result in results]
    assert len(set(norms)) == 3
