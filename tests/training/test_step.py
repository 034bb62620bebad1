import dataclasses

import jax
import numpy as np
import optax
import pytest

from tlj.data.images import normalise
from tlj.freezing.regulariser import L2SP, penalty
from tlj.pretrained.initialise import initial_variables
from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.inputs import training_inputs
from tlj.training.programs import Programs
from tlj.training.step import make_check_step, make_train_step


@pytest.fixture(scope="module")
def plain(tiny_run):
    """A run without dropout or augmentation, its state and a batch."""

    def make(**changes):
        changes = {"model": {"settings": {"dropout": 0.0}}, "data": {"augment": {"shift": 0}}, **changes}
        setup = tiny_run(**changes)
        variables, _ = initial_variables("scratch", setup.spec, None, 0)
        state = initial_state(setup, setup.phases[0], variables, Programs())
        return setup, state, setup.source.batch(np.arange(16))

    return make


def one_step(setup, state, batch):
    step = make_train_step(setup.module, setup.phases[0], setup.settings, setup.preprocessing, setup.augmentation)
    return jax.jit(step)(state, batch, run_keys(0))


def loss_by_hand(setup, params, batch, smoothing=0.0):
    logits = setup.module.apply({"params": params}, normalise(batch["image"], setup.preprocessing))
    targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], logits.shape[-1]), smoothing)
    return -(targets * jax.nn.log_softmax(logits)).sum(-1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_cross_entropy_of_the_batch(plain, smoothing):
    setup, state, batch = plain(optimizer={"label_smoothing": smoothing})
    _, metrics = one_step(setup, state, batch)
    assert float(metrics["loss"]) == pytest.approx(float(loss_by_hand(setup, state.params, batch, smoothing)), rel=1e-5)


def test_a_weighted_loss_is_the_mean_of_weight_times_cross_entropy(plain):
    setup, state, batch = plain(optimizer={"clip_norm": 0.0, "label_smoothing": 0.1})
    weight = np.random.default_rng(0).uniform(0.2, 3, 16).astype(np.float32)
    moved, metrics = one_step(setup, state, {**batch, "weight": weight})

    logits = setup.module.apply({"params": state.params}, normalise(batch["image"], setup.preprocessing))
    targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], 5), 0.1)
    losses = -(targets * jax.nn.log_softmax(logits)).sum(-1)
    assert float(metrics["loss"]) == pytest.approx(float((weight * losses).mean()), rel=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx(float((logits.argmax(-1) == batch["label"]).mean()))

    unweighted = one_step(setup, state, batch)
    ones, of_ones = one_step(setup, state, {**batch, "weight": np.ones(16, np.float32)})
    assert float(of_ones["loss"]) == pytest.approx(float(unweighted[1]["loss"]), rel=1e-6)
    kernels = [np.asarray(each.params["head"]["kernel"]) for each in (moved, unweighted[0], ones)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-6
    np.testing.assert_allclose(kernels[2], kernels[1], atol=1e-7)


def test_mixed_examples_are_trained_on_mixed_targets(plain):
    setup, state, batch = plain(optimizer={"label_smoothing": 0.1}, data={"augment": {"shift": 0, "mixup": 1.0}})
    _, metrics = one_step(setup, state, batch)
    a_key = jax.random.fold_in(run_keys(0)["augment"], 0)
    inputs, targets, weight = training_inputs(batch, a_key, setup.preprocessing, setup.augmentation, 5)
    assert weight is None
    logits = setup.module.apply({"params": state.params}, inputs)
    smoothed = 0.9 * targets + 0.1 / 5
    expected = -(smoothed * jax.nn.log_softmax(logits)).sum(-1).mean()
    assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(metrics["loss"]) != pytest.approx(float(loss_by_hand(setup, state.params, batch, 0.1)), rel=1e-3)


def test_the_gradient_norm_is_that_of_the_trained_leaves_alone(plain):
    setup, state, batch = plain(strategy="linear_probe", init="scratch")
    gradients = jax.grad(lambda params: loss_by_hand(setup, params, batch))(state.params)
    _, metrics = one_step(setup, state, batch)
    of_head = float(optax.tree.norm(gradients["head"]))
    assert float(metrics["gradient_norm"]) == pytest.approx(of_head, rel=1e-4)
    assert of_head < 0.99 * float(optax.tree.norm(gradients))


def test_the_first_step_is_that_of_adamw_at_the_warm_up_rate(plain):
    setup, state, batch = plain(optimizer={"clip_norm": 0.0, "weight_decay": 0.0, "warmup": "4 steps"})
    gradients = jax.grad(lambda params: loss_by_hand(setup, params, batch))(state.params)
    moved, metrics = one_step(setup, state, batch)
    rate = 1e-3 / 4
    assert {name: pytest.approx(rate) for name in ("backbone", "head")} == {
        name: float(value) for name, value in metrics["learning_rate"].items()
    }
    gradient, before = np.array(gradients["head"]["kernel"]), np.array(state.params["head"]["kernel"])
    np.testing.assert_allclose(
        np.array(moved.params["head"]["kernel"]), before - rate * gradient / (np.abs(gradient) + 1e-8), atol=1e-7
    )


def test_a_step_is_pure_and_counts(plain):
    setup, state, batch = plain()
    first, second = one_step(setup, state, batch), one_step(setup, state, batch)
    for ours, theirs in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert int(first[0].step) == int(state.step) + 1 == 1


def test_augmentation_and_dropout_follow_the_step_number(tiny_run):
    setup = tiny_run()
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    state = initial_state(setup, setup.phases[0], variables, Programs())
    batch = setup.source.batch(np.arange(16))
    losses = {step: float(one_step(setup, state.replace(step=np.int32(step)), batch)[1]["loss"]) for step in (0, 1)}
    assert losses[0] != losses[1]


def test_frozen_leaves_have_no_optimizer_state(tiny_run):
    sizes = {}
    for strategy in ("full", "linear_probe"):
        setup = tiny_run(strategy=strategy, init="scratch")
        variables, _ = initial_variables("scratch", setup.spec, None, 0)
        state = initial_state(setup, setup.phases[0], variables, Programs())
        sizes[strategy] = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
    head = 16 * 5 + 5
    assert sizes["linear_probe"] == 2 * head + 1
    assert sizes["full"] == 2 * sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) + 2


def test_a_probe_costs_a_third_of_full_training(tiny_run):
    flops = {}
    for strategy in ("full", "linear_probe"):
        # A probe drops nothing, and on layers this narrow the random bits of dropout are a fifth of a step.
        setup = tiny_run(strategy=strategy, init="scratch", model={"settings": {"dropout": 0.0}})
        flops[strategy] = step_program(setup, setup.phases[0], Programs())[0].flops
    assert flops["linear_probe"] / flops["full"] == pytest.approx(1 / 3, abs=0.05)


def test_l2_sp_pulls_in_the_update_and_stands_beside_the_loss(plain):
    optimizer = {"name": "sgd", "clip_norm": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": "0 steps"}
    setup, _, batch = plain(strategy="last_blocks:1", init="scratch", optimizer=optimizer)
    (phase,) = setup.phases
    l2_sp = L2SP(alpha=30.0, beta=2.0, loaded=tuple(p for p in phase.label_of if p.startswith("backbone/")))
    setup = dataclasses.replace(setup, settings=dataclasses.replace(setup.settings, l2_sp=l2_sp))
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    state = initial_state(setup, phase, variables, Programs())
    params = jax.tree.map(lambda leaf: leaf + 0.01, state.params)
    moved, metrics = one_step(setup, state.replace(params=params), batch)

    gradients = jax.grad(lambda params: loss_by_hand(setup, params, batch))(params)
    before, after = params["backbone"]["block1"]["mlp"]["up"], moved.params["backbone"]["block1"]["mlp"]["up"]
    pull = 30.0 * (before["kernel"] - state.params["backbone"]["block1"]["mlp"]["up"]["kernel"])
    expected = -1e-3 * 1.9 * (gradients["backbone"]["block1"]["mlp"]["up"]["kernel"] + pull)
    np.testing.assert_allclose(after["kernel"] - before["kernel"], expected, rtol=1e-3, atol=1e-7)
    expected = -1e-3 * 1.9 * (gradients["head"]["kernel"] + 2.0 * params["head"]["kernel"])
    np.testing.assert_allclose(
        moved.params["head"]["kernel"] - params["head"]["kernel"], expected, rtol=1e-3, atol=1e-7
    )
    assert float(metrics["loss"]) == pytest.approx(float(loss_by_hand(setup, params, batch)), rel=1e-5)
    trained = {"backbone": {"block1": params["backbone"]["block1"], "norm": params["backbone"]["norm"]}}
    start = {"backbone": {name: state.origin["backbone"][name] for name in ("block1", "norm")}}
    whole = penalty(l2_sp, trained, start) + 1.0 * sum(float((leaf**2).sum()) for leaf in params["head"].values())
    assert float(metrics["l2_sp"]) == pytest.approx(float(whole), rel=1e-4)
    assert moved.params["backbone"]["block0"]["mlp"]["up"]["kernel"] is not None
    np.testing.assert_array_equal(
        moved.params["backbone"]["block0"]["mlp"]["up"]["kernel"], params["backbone"]["block0"]["mlp"]["up"]["kernel"]
    )


def test_a_step_without_a_penalty_names_none(plain):
    setup, state, batch = plain()
    assert one_step(setup, state, batch)[1].keys() == {
        *("loss", "accuracy", "gradient_norm", "learning_rate", "accepted")
    }


def test_each_group_steps_at_its_own_rate_and_reports_it(plain):
    optimizer = {"name": "sgd", "clip_norm": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": "0 steps"}
    groups = {"head": {"learning_rate_factor": 5.0}}
    setup, state, batch = plain(optimizer=optimizer, groups=groups)
    gradients = jax.grad(lambda params: loss_by_hand(setup, params, batch))(state.params)
    moved, metrics = one_step(setup, state, batch)
    assert {name: float(rate) for name, rate in metrics["learning_rate"].items()} == pytest.approx(
        {"backbone": 1e-3, "head": 5e-3}
    )
    for rate, path in ((1e-3, ("backbone", "block0", "mlp", "up", "kernel")), (5e-3, ("head", "kernel"))):
        before, after, gradient = state.params, moved.params, gradients
        for name in path:
            before, after, gradient = before[name], after[name], gradient[name]
        np.testing.assert_allclose(after - before, -rate * 1.9 * gradient, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("mode", ["frozen", "adapt"])
def test_a_probe_moves_the_statistics_of_a_resnet_where_its_norms_adapt(tiny_run, mode):
    setup = tiny_run("resnet", strategy="linear_probe", init="scratch", groups={"frozen": {"norm_mode": mode}})
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    state = initial_state(setup, setup.phases[0], variables, Programs())
    moved, _ = one_step(setup, state, setup.source.batch(np.arange(16)))
    same = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), moved.batch_stats, state.batch_stats)
    assert set(jax.tree.leaves(same)) == {mode == "frozen"}
    still = jax.tree.map(np.array_equal, moved.params["backbone"], state.params["backbone"])
    assert all(jax.tree.leaves(still))


def leaves_of(state):
    return {name: jax.tree.leaves(getattr(state, name)) for name in state.__dataclass_fields__}


def same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def bad_weight(batch, value=np.nan):
    return {**batch, "weight": np.full(len(batch["label"]), value, np.float32)}


GOOD_WEIGHT = np.ones(16, np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_leaves_the_state_as_it_is_from_then_on(plain, value):
    setup, state, batch = plain()
    bad, metrics = one_step(setup, state, bad_weight(batch, value))
    assert not metrics["accepted"]
    assert not np.isfinite(float(metrics["loss"]))
    assert int(bad.rejected) == 1
    after, metrics = one_step(setup, bad, {**batch, "weight": GOOD_WEIGHT})
    assert np.isfinite(float(metrics["loss"]))
    assert not metrics["accepted"]
    assert int(after.rejected) == 2
    for found in (bad, after):
        before = leaves_of(state) | {"rejected": []}
        assert all(same(ours, before[name]) for name, ours in leaves_of(found).items() if name != "rejected")


def test_a_bad_update_that_is_to_be_skipped_is_counted_and_the_next_is_made(plain):
    setup, state, batch = plain(on_nan="skip")
    bad, metrics = one_step(setup, state, bad_weight(batch))
    assert (int(bad.step), int(bad.rejected), bool(metrics["accepted"])) == (1, 1, False)
    for name in ("params", "opt_state", "batch_stats"):
        assert same(leaves_of(bad)[name], leaves_of(state)[name])
    after, metrics = one_step(setup, bad, {**batch, "weight": GOOD_WEIGHT})
    assert (int(after.step), int(after.rejected), bool(metrics["accepted"])) == (2, 1, True)
    assert not same(leaves_of(after)["params"], leaves_of(state)["params"])


def test_statistics_of_a_bad_batch_are_not_kept(tiny_run):
    setup = tiny_run("resnet", on_nan="skip")
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    state = initial_state(setup, setup.phases[0], variables, Programs())
    batch = setup.source.batch(np.arange(16))
    bad, _ = one_step(setup, state, bad_weight(batch))
    good, _ = one_step(setup, state, {**batch, "weight": GOOD_WEIGHT})
    assert same(leaves_of(bad)["batch_stats"], leaves_of(state)["batch_stats"])
    assert not same(leaves_of(good)["batch_stats"], leaves_of(state)["batch_stats"])


def test_the_moving_average_follows_what_trains_and_nothing_else(plain):
    setup, state, batch = plain(strategy="linear_probe", init="scratch", optimizer={"ema": 0.9})
    assert len(jax.tree.leaves(state.ema)) == 2
    after, expected = state, np.array(state.params["head"]["kernel"], np.float64)
    for _ in range(3):
        after, _ = one_step(setup, after, batch)
        expected = 0.9 * expected + 0.1 * np.array(after.params["head"]["kernel"], np.float64)
    np.testing.assert_allclose(np.array(after.ema["head"]["kernel"]), expected, atol=1e-7)
    assert np.abs(np.array(after.params["head"]["kernel"]) - expected).max() > 1e-4
    assert after.ema["backbone"]["block0"]["mlp"]["up"]["kernel"] is None
    bad, _ = one_step(setup, after, bad_weight(batch))
    assert same(leaves_of(bad)["ema"], leaves_of(after)["ema"])


def test_a_batch_in_parts_gives_the_update_of_the_whole(plain):
    options = {"clip_norm": 0.5, "label_smoothing": 0.1}
    moved = {}
    for parts in (1, 4):
        setup, state, batch = plain(optimizer={**options, "accumulate": parts})
        weight = np.random.default_rng(0).uniform(0.2, 3, 16).astype(np.float32)
        moved[parts] = one_step(setup, state, {**batch, "weight": weight})
    (whole, expected), (parts, found) = moved[1], moved[4]
    for name in ("loss", "accuracy", "gradient_norm"):
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-5)
    for ours, theirs in zip(jax.tree.leaves(parts.opt_state), jax.tree.leaves(whole.opt_state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-7)


def test_a_check_finds_what_is_not_finite_and_changes_nothing(plain):
    setup, state, batch = plain()
    check = make_check_step(setup.module, setup.phases[0], setup.settings, setup.preprocessing, setup.augmentation)
    after, found = jax.jit(check)(state, batch, run_keys(0))
    assert all(jax.tree.leaves(found["finite"]))
    assert same(jax.tree.leaves(after), jax.tree.leaves(state))
    kernel = np.array(state.params["head"]["kernel"])
    kernel[0, 0] = np.inf
    params = {**state.params, "head": {**state.params["head"], "kernel": kernel}}
    _, found = jax.jit(check)(state.replace(params=params), batch, run_keys(0))
    assert not found["finite"]["params"]["head"]["kernel"]
    assert found["finite"]["params"]["head"]["bias"]
    assert not found["finite"]["gradients"]["head"]["bias"]
    assert not np.isfinite(float(found["loss"]))
