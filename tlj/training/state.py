"""What changes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Int

from tlj.freezing.optimizer import build_optimizer, carry_over
from tlj.freezing.partition import split
from tlj.freezing.phases import Phase
from tlj.freezing.regulariser import starting_point
from tlj.training.step_settings import StepSettings


@flax.struct.dataclass
class TrainState:
    """The state of a run; all of it is in a checkpoint.

    Attributes:
      step: the global step, which schedules read.
      params: all parameters, trained and frozen, float32.
      batch_stats: running statistics; empty for a family without.
      opt_state: of the phase's optimizer; holds nothing for frozen leaves.
      hyperparameters: numbers of each group (``tlj.freezing.optimizer.hyperparameters``).
      origin: what L2-SP pulls towards (``tlj.freezing.regulariser.starting_point``); empty without it.
    """

    step: Int[Array, ""]
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    opt_state: optax.OptState
    hyperparameters: dict[str, Any]
    origin: dict[str, Any]


def create_state(
    variables: Mapping[str, Any], phase: Phase, settings: StepSettings, hyperparameters: Mapping[str, Any]
) -> TrainState:
    """Builds the state at step 0 of a phase; meant to be compiled with its output shardings.

    Args:
      variables: ``params`` and ``batch_stats``.
      phase: what trains.
      settings: what is compiled into the phase's step.
      hyperparameters: of the phase's groups.
    """
    params = dict(variables["params"])
    trainable, _ = split(params, phase)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=dict(variables["batch_stats"]),
        opt_state=build_optimizer(params, phase, settings.clip_norm).init(trainable),
        hyperparameters=dict(hyperparameters),
        # A copy: the step gives its parameters' memory away, and the origin stays.
        origin=jax.tree.map(jnp.copy, starting_point(params, phase, settings.l2_sp)) if settings.l2_sp else {},
    )


def thaw_state(state: TrainState, fresh: TrainState, old: Phase, phase: Phase) -> TrainState:
    """Turns the state at the end of a phase into that at the start of the next.

    Step, parameters and statistics stay. Groups that trained before keep their moments; a newly trained group has those
    of a fresh optimizer, and L2-SP pulls it to where it is now. Nothing is computed.

    Args:
      state: at the end of ``old``.
      fresh: of ``create_state`` for ``phase``, from the parameters of ``state``, which it need not hold.
      old: the phase that ended.
      phase: the phase that begins.
    """
    before = {path: leaf for path, leaf in traverse_util.flatten_dict(state.origin).items() if leaf is not None}
    origin = {
        path: leaf if leaf is None else before.get(path, leaf)
        for path, leaf in traverse_util.flatten_dict(fresh.origin).items()
    }
    return state.replace(
        opt_state=carry_over(state.opt_state, fresh.opt_state, old, phase),
        hyperparameters=fresh.hyperparameters,
        origin=traverse_util.unflatten_dict(origin),
    )
