"""One optimizer per phase: a global clip over what trains, then ``optax.multi_transform`` with a schedule per group."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from tlj.freezing.partition import FROZEN, Phase, label_tree
from tlj.freezing.schedules import SCHEDULES

DIRECTIONS = {
    "adamw": lambda: optax.scale_by_adam(b1=0.9, b2=0.999),
    "sgd": lambda: optax.trace(decay=0.9, nesterov=True),
}


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """What is compiled into a step; rates and lengths are arrays (``hyperparameters``).

    Attributes:
      name: ``"adamw"`` or ``"sgd"`` (Nesterov momentum 0.9), both with decoupled weight decay.
      schedule: a key of ``SCHEDULES``.
      clip_norm: largest global norm of the gradient of all trainable leaves together; 0 does not clip.
    """

    name: str = "adamw"
    schedule: str = "cosine"
    clip_norm: float = 1.0


def decays(path: str) -> bool:
    """Whether weight decay applies: to kernels, not to biases, norms, positions or tokens."""
    return path.endswith("kernel")


def hyperparameters(
    phase: Phase, *, learning_rate: float, weight_decay: float, steps: int, warmup_steps: int
) -> dict[str, dict[str, np.float32]]:
    """Returns the numbers of each group, as arrays that travel with the state.

    Args:
      phase: the phase whose groups are wanted.
      learning_rate: peak rate; a group's factor multiplies it.
      weight_decay: decoupled decay per step and unit of learning rate (Loshchilov & Hutter 2019).
      steps: length of the schedule in steps.
      warmup_steps: length of the linear warm-up in steps.
    """
    return {
        group.name: {
            "learning_rate": np.float32(learning_rate * group.learning_rate),
            "weight_decay": np.float32(weight_decay),
            "steps": np.float32(steps),
            "warmup_steps": np.float32(warmup_steps),
        }
        for group in phase.groups
    }


def learning_rates(settings: OptimizerSettings, numbers: Mapping[str, Mapping[str, Any]], step: Any) -> dict[str, Any]:
    """Returns the learning rate of each group at a step, from ``hyperparameters``."""
    schedule = SCHEDULES[settings.schedule]
    return {
        name: group["learning_rate"] * schedule(step, group["steps"], group["warmup_steps"])
        for name, group in numbers.items()
    }


def _decay_and_scale(group: str, settings: OptimizerSettings) -> optax.GradientTransformationExtraArgs:
    """Adds weight decay to the kernels and scales by minus the group's rate at the global step."""

    def update(updates, state, params, *, step, hyperparameters, **_):
        numbers = hyperparameters[group]
        rate = learning_rates(settings, {group: numbers}, step)[group]

        def scale(path, update, param):
            if decays(path[-1].key):
                update = update + numbers["weight_decay"] * param
            return -rate * update

        return jax.tree_util.tree_map_with_path(scale, updates, params), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def build_optimizer(
    params: Mapping[str, Any], phase: Phase, settings: OptimizerSettings
) -> optax.GradientTransformationExtraArgs:
    """Builds the optimizer of a phase.

    Its ``update`` takes gradients with None at frozen leaves and the extra arguments ``step`` (the global step) and
    ``hyperparameters``. The clip stands before ``multi_transform`` and so sees all trainable leaves together; frozen
    leaves are labelled ``optax.set_to_zero`` and have neither a gradient nor a state.

    Args:
      params: the whole parameter tree, or its shapes.
      phase: labels every leaf.
      settings: what is compiled in.
    """
    groups = {
        group.name: optax.chain(DIRECTIONS[settings.name](), _decay_and_scale(group.name, settings))
        for group in phase.groups
    }
    by_group = optax.multi_transform({**groups, FROZEN: optax.set_to_zero()}, label_tree(params, phase))
    clip = optax.clip_by_global_norm(settings.clip_norm) if settings.clip_norm else optax.identity()
    return optax.with_extra_args_support(optax.chain(clip, by_group))
