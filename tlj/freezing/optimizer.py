"""One optimizer per phase: a global clip over what trains, then ``optax.multi_transform`` with a schedule per group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from tlj.freezing.partition import label_tree
from tlj.freezing.phases import FROZEN, Group, Phase
from tlj.freezing.schedules import SCHEDULES

# Where an update points before weight decay and the rate: AdamW (Loshchilov & Hutter 2019), SGD with Nesterov momentum,
# LAMB (You et al. 2020, arXiv:1904.00962), Lion (Chen et al. 2023, arXiv:2302.06675).
DIRECTIONS = {
    "adamw": lambda: optax.scale_by_adam(b1=0.9, b2=0.999),
    "sgd": lambda: optax.trace(decay=0.9, nesterov=True),
    "lamb": lambda: optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-6),
    "lion": lambda: optax.scale_by_lion(b1=0.9, b2=0.99),
}


def decays(path: str, group: Group) -> bool:
    """Whether weight decay applies to a parameter: by default to kernels, not to biases, norms and embeddings."""
    return group.decays == "all" or path.endswith("kernel")


def hyperparameters(phase: Phase) -> dict[str, dict[str, np.float32]]:
    """Returns the numbers of each group, as arrays that travel with the state.

    Args:
      phase: its groups are complete (``tlj.freezing.settings.apply_settings``).
    """
    return {
        group.name: {
            "learning_rate": np.float32(group.learning_rate),
            "weight_decay": np.float32(group.weight_decay),
            "steps": np.float32(group.schedule_steps),
            "warmup_steps": np.float32(group.warmup_steps),
        }
        for group in phase.groups
    }


def learning_rates(phase: Phase, numbers: Mapping[str, Mapping[str, Any]], step: Any) -> dict[str, Any]:
    """Returns the learning rate of each group at a step (or at an array of steps), from ``hyperparameters``."""
    return {group.name: _rate(group, numbers[group.name], step) for group in phase.groups}


def _rate(group: Group, numbers: Mapping[str, Any], step: Any) -> Any:
    return numbers["learning_rate"] * SCHEDULES[group.schedule](step, numbers["steps"], numbers["warmup_steps"])


def _decay(group: Group) -> optax.GradientTransformationExtraArgs:
    """Adds weight decay where it applies."""

    def update(updates, state, params, *, hyperparameters, **_):
        decay = hyperparameters[group.name]["weight_decay"]

        def add(path, update, param):
            name = "/".join(entry.key for entry in path)
            return update + decay * param if decays(name, group) else update

        return jax.tree_util.tree_map_with_path(add, updates, params), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _descend(group: Group) -> optax.GradientTransformationExtraArgs:
    """Scales by minus the group's rate at the global step."""

    def update(updates, state, params, *, step, hyperparameters, **_):
        rate = _rate(group, hyperparameters[group.name], step)
        return jax.tree.map(lambda update: -rate * update, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _of_group(group: Group) -> optax.GradientTransformationExtraArgs:
    trust = [optax.scale_by_trust_ratio()] if group.optimizer == "lamb" else []
    return optax.chain(DIRECTIONS[group.optimizer](), _decay(group), *trust, _descend(group))


def build_optimizer(params: Mapping[str, Any], phase: Phase, clip_norm: float) -> optax.GradientTransformationExtraArgs:
    """Builds the optimizer of a phase.

    Its ``update`` takes gradients with None at frozen leaves and the extra arguments ``step`` (the global step) and
    ``hyperparameters``. The clip stands before ``multi_transform`` and so sees all trainable leaves together; frozen
    leaves are labelled ``optax.set_to_zero`` and have neither a gradient nor a state.

    Args:
      params: the whole parameter tree, or its shapes.
      phase: labels every leaf; its groups are complete.
      clip_norm: largest global norm of the gradient of all trainable leaves together; 0 does not clip.
    """
    groups = {group.name: _of_group(group) for group in phase.groups}
    by_group = optax.multi_transform({**groups, FROZEN: optax.set_to_zero()}, label_tree(params, phase))
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    return optax.with_extra_args_support(optax.chain(clip, by_group))


def carry_over(old: Any, fresh: Any, old_phase: Phase, phase: Phase) -> Any:
    """Returns the optimizer state of a phase that follows another.

    A group that trained before keeps its moments and its step count, bit for bit; a newly trained group has those of a
    fresh optimizer. The schedule is in neither: it reads the global step.

    Args:
      old: the state at the end of ``old_phase``.
      fresh: the state that the optimizer of ``phase`` starts with.
      old_phase: the phase that ended.
      phase: the phase that begins.
    """
    kept = {group.name for group in old_phase.groups} & {group.name for group in phase.groups}
    leaves = dict(jax.tree_util.tree_leaves_with_path(old))

    def group_of(path) -> str | None:
        places = [i for i, entry in enumerate(path) if getattr(entry, "name", None) == "inner_states"]
        return path[places[0] + 1].key if places else None

    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaves[path] if group_of(path) in kept else leaf, fresh)
