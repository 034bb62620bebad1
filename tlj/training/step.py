"""The step: one pure body, differentiated over what trains and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from tlj.data.images import Augmentation, Preprocessing, augment, normalise
from tlj.freezing.modes import behave_as
from tlj.freezing.optimizer import OptimizerSettings, build_optimizer, learning_rates
from tlj.freezing.partition import Phase, merge, split
from tlj.training.state import TrainState

Batch = Mapping[str, Array]
Metrics = dict[str, Any]


def make_train_step(
    module: nn.Module,
    phase: Phase,
    settings: OptimizerSettings,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    label_smoothing: float = 0.0,
) -> Callable[[TrainState, Batch, Mapping[str, Key[Array, ""]]], tuple[TrainState, Metrics]]:
    """Builds ``train_step(state, batch, rng) -> (state, metrics)`` for a phase.

    The parameters are split; the frozen part is closed over, so the compiler sees no use for its gradients and drops
    its backward pass. Clipping and the gradient norm see the gradients of the trainable leaves together.

    Args:
      module: a ``Classifier``.
      phase: what trains and how layers behave.
      settings: what is compiled into the phase's optimizer.
      preprocessing: of the model.
      augmentation: of the training images.
      label_smoothing: mass taken from the true class and spread over all.

    Returns:
      The step. ``rng`` holds the ``augment`` and ``dropout`` keys of the run; each step folds its number in.
      ``metrics`` are float32 scalars on the device: loss, accuracy and gradient norm of this batch, and the learning
      rate of each group.
    """

    def train_step(state: TrainState, batch: Batch, rng: Mapping[str, Key[Array, ""]]) -> tuple[TrainState, Metrics]:
        rng = {name: jax.random.fold_in(key, state.step) for name, key in rng.items()}
        images = normalise(augment(batch["image"], rng["augment"], augmentation), preprocessing)
        trainable, frozen = split(state.params, phase)
        optimizer = build_optimizer(state.params, phase, settings)

        def loss_of(trainable: Mapping[str, Any]) -> tuple[Array, tuple[Array, Any]]:
            variables = {"params": merge(trainable, frozen), "batch_stats": state.batch_stats}
            with behave_as(phase):
                logits, updated = module.apply(
                    variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": rng["dropout"]}
                )
            targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], logits.shape[-1]), label_smoothing)
            return optax.softmax_cross_entropy(logits, targets).mean(), (logits, updated.get("batch_stats", {}))

        (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, trainable, step=state.step, hyperparameters=state.hyperparameters
        )
        metrics = {
            "loss": loss,
            "accuracy": (logits.argmax(-1) == batch["label"]).mean(),
            "gradient_norm": optax.tree.norm(gradients),
            "learning_rate": learning_rates(settings, state.hyperparameters, state.step),
        }
        params = merge(optax.apply_updates(trainable, updates), frozen)
        return state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state), metrics

    return train_step


def make_evaluate_step(
    module: nn.Module, preprocessing: Preprocessing
) -> Callable[[Mapping[str, Any], Mapping[str, Any], Batch], Array]:
    """Builds ``evaluate_step(params, batch_stats, batch) -> logits`` in evaluation mode."""

    def evaluate_step(params: Mapping[str, Any], batch_stats: Mapping[str, Any], batch: Batch) -> Array:
        images = normalise(batch["image"], preprocessing)
        return module.apply({"params": params, "batch_stats": batch_stats}, images, train=False).astype(jnp.float32)

    return evaluate_step
