"""The step: one pure body, differentiated over what trains and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from tlj.data.images import Augmentation, Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.freezing.modes import behave_as
from tlj.freezing.optimizer import build_optimizer, learning_rates
from tlj.freezing.partition import merge, split
from tlj.freezing.phases import Phase
from tlj.freezing.regulariser import penalty
from tlj.models.lora import Adapters, adapted, split_adapters
from tlj.models.row_dropout import drawn_for
from tlj.rows import ALL, Rows
from tlj.training.inputs import Inputs, evaluation_inputs, training_inputs
from tlj.training.state import TrainState
from tlj.training.step_settings import StepSettings
from tlj.training.tasks import TASKS

Batch = Mapping[str, Array]
Rng = Mapping[str, Key[Array, ""]]
Metrics = dict[str, Any]
Step = Callable[[TrainState, Batch, Rng], tuple[TrainState, Metrics]]


class Examples(NamedTuple):
    """What the loss takes of a batch, or of a part of one.

    Attributes:
      inputs: what the module takes.
      targets: of the task, smoothed.
      weight: of each example in the loss; None: all weigh alike.
      label: of each example, for the metrics.
    """

    inputs: Inputs
    targets: Array
    weight: Float[Array, " batch"] | None
    label: Array


def make_train_step(
    module: nn.Module,
    phase: Phase,
    settings: StepSettings,
    preprocessing: Preprocessing | TextPreprocessing,
    augmentation: Augmentation,
    rows: Rows = ALL,
) -> Step:
    """Builds ``train_step(state, batch, rng) -> (state, metrics)`` for a phase.

    The parameters are split; the frozen part is closed over, so the compiler sees no use for its gradients and drops
    its backward pass. Clipping and the gradient norm see the gradients of the trainable leaves together.

    Args:
      module: a ``Classifier``.
      phase: what trains and how layers behave.
      settings: what else is compiled into the step.
      preprocessing: of the model.
      augmentation: of the training images.
      rows: of the global batch that the step is given; with an axis, gradients and metrics are averaged over it.

    Returns:
      The step. ``rng`` holds the ``augment`` and ``dropout`` keys of the run; each step folds its number in.
      ``metrics`` are float32 scalars on the device: loss and metrics of the task and gradient norm of this batch, the
      L2-SP penalty where there is one (it is not in the loss), the learning rate of each group, and ``accepted``:
      whether loss and gradients were finite and the update was made. The loss is weighted where the batch has a
      ``weight``; the metrics never are, and are of an example's own label where two are mixed.
    """
    differentiate = _make_differentiate(module, phase, settings, preprocessing, augmentation, rows)
    update = make_update(phase, settings)

    def train_step(state: TrainState, batch: Batch, rng: Rng) -> tuple[TrainState, Metrics]:
        gradients, metrics, batch_stats = differentiate(state, batch, rng)
        params, more, opt_state = update(state, gradients)
        metrics |= more
        return _accepted(state, phase, settings, (params, batch_stats, opt_state), metrics), metrics

    return train_step


def make_check_step(
    module: nn.Module,
    phase: Phase,
    settings: StepSettings,
    preprocessing: Preprocessing | TextPreprocessing,
    augmentation: Augmentation,
    rows: Rows = ALL,
) -> Step:
    """Builds ``check_step(state, batch, rng) -> (state, found)``, which leaves the state as it is.

    Args: those of ``make_train_step``.

    Returns:
      The step. ``found`` has the ``loss`` of the batch, and whether all of it is ``finite``: each parameter, running
      statistic and gradient by path, under ``params``, ``batch_stats`` and ``gradients``.
    """
    differentiate = _make_differentiate(module, phase, settings, preprocessing, augmentation, rows)

    def check_step(state: TrainState, batch: Batch, rng: Rng) -> tuple[TrainState, Metrics]:
        gradients, metrics, _ = differentiate(state, batch, rng)
        trees = {"params": state.params, "batch_stats": state.batch_stats, "gradients": gradients}
        finite = jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), trees)
        return state, {"loss": metrics["loss"], "finite": finite}

    return check_step


def _make_differentiate(
    module: nn.Module,
    phase: Phase,
    settings: StepSettings,
    preprocessing: Preprocessing | TextPreprocessing,
    augmentation: Augmentation,
    rows: Rows,
) -> Callable[[TrainState, Batch, Rng], tuple[Any, Metrics, Any]]:
    """From a state and a batch to the gradients of what trains, the metrics, and the running statistics after it."""
    task = TASKS[settings.task]

    def loss_of(
        trainable: Mapping[str, Any],
        state: TrainState,
        batch_stats: Mapping[str, Any],
        examples: Examples,
        key: Key[Array, ""],
        rows: Rows,
    ) -> tuple[Array, Any]:
        _, frozen = split(state.params, phase)
        params, adapters = split_adapters(merge(trainable, frozen))
        variables = {"params": params, "batch_stats": batch_stats}
        with behave_as(phase), adapted(adapters, settings.adapters), drawn_for(rows):
            logits, updated = module.apply(
                variables, examples.inputs, train=True, mutable=["batch_stats"], rngs={"dropout": key}
            )
        each = task.losses(logits, examples.targets)
        losses = {"loss": (each if examples.weight is None else examples.weight * each).mean()}
        if settings.l2_sp:
            losses["l2_sp"] = penalty(settings.l2_sp, trainable, state.origin)
        metrics = task.batch_metrics(logits, {"label": examples.label})
        return sum(losses.values()), ({**losses, **metrics}, updated.get("batch_stats", {}))

    def differentiate(state: TrainState, batch: Batch, rng: Rng) -> tuple[Any, Metrics, Any]:
        rng = {name: jax.random.fold_in(key, state.step) for name, key in rng.items()}
        inputs, targets, weight = training_inputs(
            batch, rng["augment"], preprocessing, augmentation, module.num_classes, task=task, rows=rows
        )
        examples = Examples(inputs, task.smoothed(targets, settings.label_smoothing), weight, batch["label"])
        trainable, _ = split(state.params, phase)
        gradients, metrics, batch_stats = _gradients(
            loss_of, trainable, state, examples, rng["dropout"], rows, settings.accumulate
        )
        if rows.axis is not None:
            gradients, metrics = jax.lax.pmean((gradients, metrics), rows.axis)
        return gradients, metrics, batch_stats

    return differentiate


def _gradients(
    loss_of: Callable[..., tuple[Array, Any]],
    trainable: Mapping[str, Any],
    state: TrainState,
    examples: Examples,
    key: Key[Array, ""],
    rows: Rows,
    parts: int,
) -> tuple[Mapping[str, Any], Metrics, Mapping[str, Any]]:
    """Gradients, metrics and running statistics of a batch; in parts, their means, and the statistics of the last."""
    gradient_of = jax.grad(loss_of, has_aux=True)
    if parts == 1:
        gradients, (metrics, batch_stats) = gradient_of(trainable, state, state.batch_stats, examples, key, rows)
        return gradients, metrics, batch_stats

    def of_part(carried: tuple[Any, Any], part: tuple[Array, Examples]) -> tuple[tuple[Any, Any], Metrics]:
        total, batch_stats = carried
        here = dataclasses.replace(rows, parts=parts, part=part[0])
        gradients, (metrics, batch_stats) = gradient_of(trainable, state, batch_stats, part[1], key, here)
        return (jax.tree.map(jnp.add, total, gradients), batch_stats), metrics

    # Every device keeps its own rows: each part takes some of every stretch of rows, not a stretch by itself.
    in_parts = jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf.reshape(len(leaf) // parts, parts, *leaf.shape[1:]), 1, 0), examples
    )
    nothing = jax.tree.map(jnp.zeros_like, trainable)
    (total, batch_stats), metrics = jax.lax.scan(of_part, (nothing, state.batch_stats), (jnp.arange(parts), in_parts))
    mean = jax.tree.map(lambda leaf: leaf / parts, total)
    return mean, jax.tree.map(lambda values: values.mean(0), metrics), batch_stats


def make_update(phase: Phase, settings: StepSettings) -> Callable[..., tuple[TrainState, Metrics, Any]]:
    """Builds ``update(state, gradients) -> (trainable, metrics, opt_state)``: what a step does with its gradients."""

    def update(state: TrainState, gradients: Mapping[str, Any]) -> tuple[Any, Metrics, Any]:
        trainable, _ = split(state.params, phase)
        optimizer = build_optimizer(state.params, phase, settings.clip_norm)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, trainable, step=state.step, hyperparameters=state.hyperparameters
        )
        metrics = {
            "gradient_norm": optax.tree.norm(gradients),
            "learning_rate": learning_rates(phase, state.hyperparameters, state.step),
        }
        return optax.apply_updates(trainable, updates), metrics, opt_state

    return update


def _accepted(
    state: TrainState, phase: Phase, settings: StepSettings, updated: tuple[Any, Any, Any], metrics: Metrics
) -> TrainState:
    """The state after an update (parameters, statistics, optimizer), or as it was where that is not accepted."""
    finite = jnp.isfinite(metrics["loss"] + metrics.get("l2_sp", 0.0)) & jnp.isfinite(metrics["gradient_norm"])
    stops = settings.on_nan == "stop"
    metrics["accepted"] = accepted = finite & (state.rejected == 0) if stops else finite
    ema = state.ema
    if settings.ema:
        ema = jax.tree.map(lambda mean, leaf: mean + (1 - settings.ema) * (leaf - mean), ema, updated[0])
    trainable, frozen = split(state.params, phase)
    # What is frozen is in neither, and is not touched.
    trained, batch_stats, opt_state, ema = jax.tree.map(
        lambda new, old: jnp.where(accepted, new, old),
        (*updated, ema),
        (trainable, state.batch_stats, state.opt_state, state.ema),
    )
    return state.replace(
        step=state.step + (accepted if stops else 1),
        params=merge(trained, frozen),
        batch_stats=batch_stats,
        opt_state=opt_state,
        ema=ema,
        rejected=state.rejected + ~accepted,
    )


def make_evaluate_step(
    module: nn.Module, preprocessing: Preprocessing | TextPreprocessing, adapters: Adapters | None = None
) -> Callable[[Mapping[str, Any], Mapping[str, Any], Batch], Array]:
    """Builds ``evaluate_step(params, batch_stats, batch) -> logits`` in evaluation mode."""

    def evaluate_step(params: Mapping[str, Any], batch_stats: Mapping[str, Any], batch: Batch) -> Array:
        inputs = evaluation_inputs(batch, preprocessing)
        params, low_rank = split_adapters(params)
        with adapted(low_rank, adapters):
            logits = module.apply({"params": params, "batch_stats": batch_stats}, inputs, train=False)
        return logits.astype(jnp.float32)

    return evaluate_step
