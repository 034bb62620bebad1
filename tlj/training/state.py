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
      ema: moving average of the parameters that train, with None elsewhere; empty without it.
      rejected: updates that were not made because a loss or gradient was not finite.
    """

    step: Int[Array, ""]
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    opt_state: optax.OptState
    hyperparameters: dict[str, Any]
    origin: dict[str, Any]
    ema: dict[str, Any]
    rejected: Int[Array, ""]


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
        ema=jax.tree.map(jnp.copy, trainable) if settings.ema else {},
        rejected=jnp.zeros((), jnp.int32),
    )


def thaw_state(state: TrainState, fresh: TrainState, old: Phase, phase: Phase) -> TrainState:
    """Turns the state at the end of a phase into that at the start of the next.

    Step, parameters and statistics stay. Groups that trained before keep their moments; a newly trained group has those
    of a fresh optimizer, and L2-SP pulls it to where it is now. So with moving averages: one that goes on keeps its
    value, and that of a newly trained parameter begins where it is. Nothing is computed.

    Args:
      state: at the end of ``old``.
      fresh: of ``create_state`` for ``phase``, from the parameters of ``state``, which it need not hold.
      old: the phase that ended.
      phase: the phase that begins.
    """
    return state.replace(
        opt_state=carry_over(state.opt_state, fresh.opt_state, old, phase),
        hyperparameters=fresh.hyperparameters,
        origin=_kept(state.origin, fresh.origin),
        ema=_kept(state.ema, fresh.ema),
    )


def _kept(before: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a new phase, with what the one before held at the same places."""
    held = {path: leaf for path, leaf in traverse_util.flatten_dict(before).items() if leaf is not None}
    flat = traverse_util.flatten_dict(fresh)
    return traverse_util.unflatten_dict(
        {path: leaf if leaf is None else held.get(path, leaf) for path, leaf in flat.items()}
    )
