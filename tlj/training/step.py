"""The step: one pure body, differentiated over what trains and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from tlj.data.images import Augmentation, Preprocessing
from tlj.data.text import TextPreprocessing
from tlj.freezing.modes import behave_as
from tlj.freezing.optimizer import build_optimizer, learning_rates
from tlj.freezing.partition import merge, split
from tlj.freezing.phases import Phase
from tlj.freezing.regulariser import penalty
from tlj.models.lora import Adapters, adapted, split_adapters
from tlj.training.inputs import evaluation_inputs, training_inputs
from tlj.training.state import TrainState
from tlj.training.step_settings import StepSettings

Batch = Mapping[str, Array]
Metrics = dict[str, Any]


def make_train_step(
    module: nn.Module,
    phase: Phase,
    settings: StepSettings,
    preprocessing: Preprocessing | TextPreprocessing,
    augmentation: Augmentation,
) -> Callable[[TrainState, Batch, Mapping[str, Key[Array, ""]]], tuple[TrainState, Metrics]]:
    """Builds ``train_step(state, batch, rng) -> (state, metrics)`` for a phase.

    The parameters are split; the frozen part is closed over, so the compiler sees no use for its gradients and drops
    its backward pass. Clipping and the gradient norm see the gradients of the trainable leaves together.

    Args:
      module: a ``Classifier``.
      phase: what trains and how layers behave.
      settings: what else is compiled into the step.
      preprocessing: of the model.
      augmentation: of the training images.

    Returns:
      The step. ``rng`` holds the ``augment`` and ``dropout`` keys of the run; each step folds its number in.
      ``metrics`` are float32 scalars on the device: loss, accuracy and gradient norm of this batch, the L2-SP penalty
      where there is one (it is not in the loss), and the learning rate of each group. The loss is weighted where the
      batch has a ``weight``; the accuracy never is, and is of an example's own label where two are mixed.
    """
    classes = module.num_classes

    def train_step(state: TrainState, batch: Batch, rng: Mapping[str, Key[Array, ""]]) -> tuple[TrainState, Metrics]:
        rng = {name: jax.random.fold_in(key, state.step) for name, key in rng.items()}
        inputs, targets, weight = training_inputs(batch, rng["augment"], preprocessing, augmentation, classes)
        targets = optax.smooth_labels(targets, settings.label_smoothing)
        trainable, frozen = split(state.params, phase)
        optimizer = build_optimizer(state.params, phase, settings.clip_norm)

        def loss_of(trainable: Mapping[str, Any]) -> tuple[Array, Any]:
            params, adapters = split_adapters(merge(trainable, frozen))
            variables = {"params": params, "batch_stats": state.batch_stats}
            with behave_as(phase), adapted(adapters, settings.adapters):
                rngs = {"dropout": rng["dropout"]}
                logits, updated = module.apply(variables, inputs, train=True, mutable=["batch_stats"], rngs=rngs)
            cross_entropy = optax.softmax_cross_entropy(logits, targets)
            losses = {"loss": (cross_entropy if weight is None else weight * cross_entropy).mean()}
            if settings.l2_sp:
                losses["l2_sp"] = penalty(settings.l2_sp, trainable, state.origin)
            return sum(losses.values()), (losses, logits, updated.get("batch_stats", {}))

        gradients, (losses, logits, batch_stats) = jax.grad(loss_of, has_aux=True)(trainable)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, trainable, step=state.step, hyperparameters=state.hyperparameters
        )
        metrics = {
            **losses,
            "accuracy": (logits.argmax(-1) == batch["label"]).mean(),
            "gradient_norm": optax.tree.norm(gradients),
            "learning_rate": learning_rates(phase, state.hyperparameters, state.step),
        }
        params = merge(optax.apply_updates(trainable, updates), frozen)
        return state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state), metrics

    return train_step


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
