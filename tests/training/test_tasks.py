"""What follows from a task on the device; metrics over a whole part are in test_task_metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tlj.metric_names import metric_names
from tlj.training.task_metrics import loss_and_accuracy
from tlj.training.tasks import TASKS

RNG = np.random.default_rng(0)
LABELS = {
    "multiclass": RNG.integers(0, 3, 12).astype(np.int32),
    "binary": RNG.integers(0, 2, 12).astype(np.int32),
    "multilabel": RNG.integers(0, 2, (12, 3)).astype(np.int8),
    "regression": RNG.normal(size=12).astype(np.float32),
}
SIZES = {"multiclass": 3, "binary": 1, "multilabel": 3, "regression": 1}


@pytest.fixture(params=TASKS)
def case(request):
    """A task with logits of its head and labels for twelve examples."""
    name = request.param
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(12, SIZES[name])), jnp.float32)
    return TASKS[name], logits, LABELS[name]


def test_the_head_has_an_output_a_class_but_one_for_two_classes_and_for_numbers():
    assert {name: task.outputs(0 if name == "regression" else 3) for name, task in TASKS.items()} == SIZES


def test_multiclass_is_softmax_cross_entropy_to_the_bit():
    task, labels = TASKS["multiclass"], LABELS["multiclass"]
    logits = jnp.asarray(RNG.normal(size=(12, 3)), jnp.float32)
    targets = task.targets({"label": labels}, 3)
    plain = optax.smooth_labels(jax.nn.one_hot(labels, 3), 0.1)
    np.testing.assert_array_equal(task.smoothed(targets, 0.1), plain)
    np.testing.assert_array_equal(task.losses(logits, plain), optax.softmax_cross_entropy(logits, plain))


def test_the_mean_loss_of_a_step_is_the_loss_that_a_part_is_judged_by(case):
    task, logits, labels = case
    losses = task.losses(logits, task.smoothed(task.targets({"label": labels}, logits.shape[1]), 0.0))
    assert losses.shape == (12,)
    assert losses.dtype == jnp.float32
    judged = task.evaluate(task.predictions(np.asarray(logits)), labels)
    assert float(losses.mean()) == pytest.approx(judged["loss"], rel=1e-6)


def test_a_step_tells_the_accuracy_that_a_part_is_judged_by(case):
    task, logits, labels = case
    told = task.batch_metrics(logits, {"label": labels})
    judged = task.evaluate(task.predictions(np.asarray(logits)), labels)
    assert {name: float(value) for name, value in told.items() if name in judged} == pytest.approx(
        {name: judged[name] for name in told if name in judged}
    )
    assert ("accuracy" in told) == (task.name in ("multiclass", "binary"))


def test_every_task_is_judged_by_the_metrics_of_its_name(case):
    task, logits, labels = case
    assert task.evaluate(task.predictions(np.asarray(logits)), labels).keys() == set(metric_names(task.name, part=""))


def test_losses_are_float32_whatever_the_logits_are(case):
    task, logits, labels = case
    if task.name != "multiclass":  # its head computes in float32 already
        targets = task.targets({"label": labels}, logits.shape[1])
        assert task.losses(logits.astype(jnp.bfloat16), targets).dtype == jnp.float32


def test_of_two_classes_one_logit_loses_what_two_would():
    binary, two = TASKS["binary"], TASKS["multiclass"]
    logits = RNG.normal(size=(12, 1)).astype(np.float32) * 4
    reported = binary.predictions(logits)
    np.testing.assert_array_equal(reported, np.stack([np.zeros(12), logits[:, 0]], 1))
    for share in (0.0, 0.2):
        batch = {"label": LABELS["binary"]}
        one = binary.losses(logits, binary.smoothed(binary.targets(batch, 1), share))
        other = two.losses(jnp.asarray(reported), two.smoothed(two.targets(batch, 2), share))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(binary.predictions(reported), reported)


def test_smoothing_of_sets_moves_every_class_towards_a_half():
    task = TASKS["multilabel"]
    targets = task.smoothed(task.targets({"label": np.array([[1, 0]], np.int8)}, 2), 0.1)
    np.testing.assert_allclose(targets, [[0.95, 0.05]], rtol=1e-6)


def test_the_loss_of_sets_is_the_mean_over_classes_by_hand():
    losses = TASKS["multilabel"].losses(jnp.array([[2.0, -1.0]]), jnp.array([[1.0, 1.0]]))
    np.testing.assert_allclose(losses, [(np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 2], rtol=1e-6)


def test_two_classes_are_judged_as_classes_are():
    logits = TASKS["binary"].predictions(RNG.normal(size=(12, 1)).astype(np.float32))
    found = TASKS["binary"].evaluate(logits, LABELS["binary"])
    assert (found["loss"], found["accuracy"]) == loss_and_accuracy(logits, LABELS["binary"])
