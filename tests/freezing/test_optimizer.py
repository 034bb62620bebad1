"""One optimizer per phase."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from tlj.freezing.optimizer import DIRECTIONS, build_optimizer, carry_over, decays, hyperparameters, learning_rates
from tlj.freezing.partition import split
from tlj.freezing.phases import FROZEN, Group, Layout, make_phase

SHAPES = {
    "backbone/embedding/kernel": (5, 4),
    "backbone/block0/norm/scale": (4,),
    "backbone/block0/mlp/kernel": (4, 4),
    "backbone/block0/attention/query_key_value/kernel": (4, 3, 4),
    "backbone/block0/attention/query_key_value/bias": (3, 4),
    "head/kernel": (4, 2),
    "head/bias": (2,),
}
LAYOUT = Layout({path: 2 if path.startswith("head") else 1 for path in SHAPES}, blocks=1)
KERNELS = {path for path in SHAPES if path.endswith("kernel")}
PLAIN = Group(
    "", learning_rate=0.1, weight_decay=0.0, optimizer="sgd", schedule="constant", schedule_steps=100, warmup_steps=0
)


def random_tree(seed: int, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    flat = {path: jnp.asarray(scale * rng.normal(size=shape), jnp.float32) for path, shape in SHAPES.items()}
    return traverse_util.unflatten_dict(flat, sep="/")


def group(name: str, **fields) -> Group:
    return dataclasses.replace(PLAIN, name=name, **fields)


def one_group(**fields):
    return make_phase(dict.fromkeys(SHAPES, "all"), [group("all", **fields)], LAYOUT)


def two_groups(backbone=None, **both):
    """The embedding is frozen; the block and the head are groups of their own."""
    labels = {path: FROZEN if "embedding" in path else path.split("/")[0] for path in SHAPES}
    return make_phase(labels, [group("backbone", **{**both, **(backbone or {})}), group("head", **both)], LAYOUT)


def updates_of(phase, gradients, *, step=0, params=None, clip_norm=0.0):
    """The first update that a phase's optimizer gives, by path; None where it is frozen."""
    params = random_tree(0) if params is None else params
    trainable, _ = split(params, phase)
    gradients, _ = split(gradients, phase)
    optimizer = build_optimizer(params, phase, clip_norm)
    updates, _ = optimizer.update(
        gradients, optimizer.init(trainable), trainable, step=step, hyperparameters=hyperparameters(phase)
    )
    return traverse_util.flatten_dict(updates, sep="/")


def trajectory(phase, steps=10, clip_norm=0.0, state=None, params=None, first=0):
    """Parameters and optimizer state after some steps on random gradients; the frozen leaves are None."""
    params, _ = split(random_tree(0) if params is None else params, phase)
    optimizer = build_optimizer(random_tree(0), phase, clip_norm)
    state = optimizer.init(params) if state is None else state
    for step in range(first, first + steps):
        gradients, _ = split(random_tree(100 + step), phase)
        updates, state = optimizer.update(gradients, state, params, step=step, hyperparameters=hyperparameters(phase))
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize(("name", "moments"), [("adamw", 2), ("lamb", 2), ("sgd", 1), ("lion", 1)])
def test_frozen_leaves_have_no_optimizer_state(name, moments):
    phase, params = two_groups(optimizer=name), random_tree(0)
    trainable, _ = split(params, phase)
    state = build_optimizer(params, phase, 1.0).init(trainable)
    trained = sum(np.prod(SHAPES[path]) for path in phase.trained)
    arrays = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(leaf.size for leaf in arrays) == moments * trained
    assert not any(leaf.shape == SHAPES["backbone/embedding/kernel"] for leaf in arrays)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_frozen_leaves_have_no_update_even_with_weight_decay(name):
    phase = two_groups(optimizer=name, weight_decay=0.5, decays="all")
    updates = updates_of(phase, random_tree(1))
    assert updates["backbone/embedding/kernel"] is None
    assert all(updates[path] is not None for path in phase.trained)


def test_clipping_is_over_all_trainable_leaves_together():
    phase, clip_norm, rate = two_groups(), 0.5, 0.1
    gradients = traverse_util.flatten_dict(random_tree(1), sep="/")
    # The groups differ in norm, and the frozen leaf would dwarf both if the clip saw it.
    gradients = {path: leaf * (5.0 if path.startswith("head") else 1.0) for path, leaf in gradients.items()}
    gradients["backbone/embedding/kernel"] *= 1e6
    updates = updates_of(phase, traverse_util.unflatten_dict(gradients, sep="/"), clip_norm=clip_norm)

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
        updates = updates_of(one_group(), gradients, clip_norm=clip_norm)
        wanted = traverse_util.flatten_dict(gradients, sep="/")
        for path in SHAPES:
            np.testing.assert_allclose(updates[path], -0.1 * 1.9 * wanted[path], rtol=1e-5)


@pytest.mark.parametrize(("which", "decayed"), [("kernels", KERNELS), ("all", set(SHAPES))])
def test_weight_decay_pulls_kernels_or_all_and_nothing_else(which, decayed):
    zeros = jax.tree.map(jnp.zeros_like, random_tree(0))
    updates = updates_of(one_group(optimizer="adamw", weight_decay=0.5, decays=which), zeros)
    params = traverse_util.flatten_dict(random_tree(0), sep="/")
    for path in SHAPES:
        expected = -0.1 * 0.5 * params[path] if path in decayed else np.zeros(SHAPES[path])
        np.testing.assert_allclose(updates[path], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("kernel", True), ("query_key_value/kernel", True), ("bias", False), ("query_key_value/bias", False),
     ("scale", False), ("position", False), ("class_token", False)],
)  # fmt: skip
def test_only_kernels_decay_unless_all_do(name, expected):
    assert decays(name, group("g")) is expected
    assert decays(name, group("g", decays="all")) is True


def test_weight_decay_is_not_clipped():
    gradients = random_tree(1, 100.0)
    updates = updates_of(one_group(weight_decay=0.5), gradients, clip_norm=1e-6)
    np.testing.assert_allclose(updates["head/kernel"], -0.05 * random_tree(0)["head"]["kernel"], rtol=1e-3, atol=1e-6)


def of_optax(name: str, rate: float, decay: float, mask):
    if name == "sgd":
        # Optax has no decoupled decay for it.
        return optax.chain(optax.trace(0.9, nesterov=True), optax.add_decayed_weights(decay, mask), optax.scale(-rate))
    return getattr(optax, name)(rate, weight_decay=decay, mask=mask)


@pytest.mark.parametrize("which", ["kernels", "all"])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_one_group_at_a_constant_rate_is_the_optimizer_of_optax(name, which):
    theirs = random_tree(0)
    mask = jax.tree_util.tree_map_with_path(lambda path, _: which == "all" or path[-1].key.endswith("kernel"), theirs)
    reference = optax.chain(optax.clip_by_global_norm(1.0), of_optax(name, 0.01, 0.1, mask))
    phase = one_group(optimizer=name, learning_rate=0.01, weight_decay=0.1, decays=which)
    ours, _ = trajectory(phase, clip_norm=1.0)
    state = reference.init(theirs)
    for step in range(10):
        updates, state = reference.update(random_tree(100 + step), state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_plain_sgd_without_decay_is_that_of_optax():
    theirs, reference = random_tree(0), optax.sgd(0.1, momentum=0.9, nesterov=True)
    ours, _ = trajectory(one_group())
    state = reference.init(theirs)
    for step in range(10):
        updates, state = reference.update(random_tree(100 + step), state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


def test_each_group_has_the_optimizer_the_schedule_and_the_decay_that_it_would_have_alone():
    other = dict(optimizer="lion", schedule="rsqrt", warmup_steps=3, weight_decay=0.2, learning_rate=0.01, decays="all")
    mixed, _ = trajectory(two_groups(backbone=other, schedule="linear"))
    as_backbone, _ = trajectory(one_group(**other))
    as_head, _ = trajectory(one_group(schedule="linear"))
    mixed = traverse_util.flatten_dict(mixed, sep="/")
    alone = {name: traverse_util.flatten_dict(tree, sep="/")
             for name, tree in (("backbone", as_backbone), ("head", as_head))}  # fmt: skip
    assert mixed["backbone/embedding/kernel"] is None
    for path in two_groups().trained:
        np.testing.assert_allclose(mixed[path], alone[path.split("/")[0]][path], rtol=1e-5, atol=1e-7)


def test_a_schedule_reads_the_global_step_and_not_how_often_the_optimizer_was_asked():
    phase = one_group(schedule="linear")
    first, later = (updates_of(phase, random_tree(1), step=step) for step in (0, 75))
    for path in SHAPES:
        np.testing.assert_allclose(later[path], 0.25 * first[path], rtol=1e-5)


def test_a_group_steps_at_its_own_rate():
    slow = updates_of(two_groups(backbone={"learning_rate": 0.01}), random_tree(1))
    usual = updates_of(two_groups(), random_tree(1))
    for path in two_groups().trained:
        factor = 0.1 if path.startswith("backbone") else 1.0
        np.testing.assert_allclose(slow[path], factor * usual[path], rtol=1e-5)


def test_learning_rates_name_every_group_with_its_rate_at_the_step():
    long = dict(schedule="cosine", schedule_steps=110, warmup_steps=10, learning_rate=0.2)
    phase = two_groups(backbone={"schedule": "linear", "learning_rate": 0.1}, **long)
    rates = learning_rates(phase, hyperparameters(phase), 35)
    assert {name: float(rate) for name, rate in rates.items()} == pytest.approx(
        {"backbone": 0.075, "head": 0.17071067811865476}
    )
    tables = learning_rates(phase, hyperparameters(phase), np.arange(110))
    assert tables["backbone"].shape == (110,)
    assert tables["head"][35] == pytest.approx(0.17071067811865476)


def test_one_compiled_optimizer_serves_every_rate_decay_and_length():
    phase, params = two_groups(optimizer="adamw", schedule="cosine"), random_tree(0)
    trainable, _ = split(params, phase)
    gradients, _ = split(random_tree(1), phase)
    optimizer = build_optimizer(params, phase, 1.0)

    @jax.jit
    def update(state, step, numbers):
        return optimizer.update(gradients, state, trainable, step=step, hyperparameters=numbers)[0]

    results = []
    for step, rate, decay, steps, warmup in ((0, 0.1, 0.0, 100, 0), (7, 0.01, 0.1, 20, 3), (3, 1.0, 0.5, 9, 9)):
        fields = dict(learning_rate=rate, weight_decay=decay, schedule_steps=steps, warmup_steps=warmup)
        results.append(update(optimizer.init(trainable), step, hyperparameters(two_groups(**fields))))
    assert update._cache_size() == 1
    assert len({float(optax.tree.norm(result)) for result in results}) == 3


def probe(**fields):
    """The head alone trains, in the group that it has in ``two_groups``."""
    return make_phase(
        {p: "head" if p.startswith("head") else FROZEN for p in SHAPES}, [group("head", **fields)], LAYOUT
    )


def moments_of(state, name: str) -> list[np.ndarray]:
    """The leaves that the optimizer state holds for a group; their paths begin ``[1].inner_states[name]``."""
    return [np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state) if path[2].key == name]


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_group_that_goes_on_keeps_its_moments_bit_for_bit_and_a_new_one_starts_fresh(name):
    before, after = probe(optimizer=name), two_groups(optimizer=name)
    _, old = trajectory(before, steps=5)
    fresh = build_optimizer(random_tree(0), after, 0.0).init(split(random_tree(0), after)[0])
    carried = carry_over(old, fresh, before, after)
    assert jax.tree.structure(carried) == jax.tree.structure(fresh)
    kept = moments_of(old, "head")
    assert kept
    for ours, theirs in zip(moments_of(carried, "head"), kept, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert any(np.any(leaf) for leaf in kept)
    new = moments_of(carried, "backbone")
    assert new
    assert not any(np.any(leaf) for leaf in new)


def test_the_first_update_of_a_thawed_group_is_that_of_a_fresh_adam_at_the_global_step():
    settings = dict(optimizer="adamw", schedule="linear")
    before, after = probe(**settings), two_groups(**settings)
    params, old = trajectory(before, steps=50)
    fresh = build_optimizer(random_tree(0), after, 0.0).init(split(random_tree(0), after)[0])
    trainable, _ = split(random_tree(0), after)
    gradients, _ = split(random_tree(1), after)
    optimizer = build_optimizer(random_tree(0), after, 0.0)
    updates, _ = optimizer.update(
        gradients, carry_over(old, fresh, before, after), trainable, step=50, hyperparameters=hyperparameters(after)
    )
    # Half of the schedule is over; a bias-corrected first step of Adam is the rate, whatever the gradient.
    np.testing.assert_allclose(np.abs(updates["backbone"]["block0"]["mlp"]["kernel"]), 0.05, rtol=1e-4)


def test_a_group_that_froze_is_gone_from_the_state():
    before, after = two_groups(), probe()
    _, old = trajectory(before, steps=3)
    fresh = build_optimizer(random_tree(0), after, 0.0).init(split(random_tree(0), after)[0])
    carried = carry_over(old, fresh, before, after)
    assert moments_of(carried, "backbone") == []
    assert sum(leaf.size for leaf in jax.tree.leaves(carried)) == 10
    for ours, theirs in zip(moments_of(carried, "head"), moments_of(old, "head"), strict=True):
        assert ours.tobytes() == theirs.tobytes()
