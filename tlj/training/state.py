"""What changes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from tlj.freezing.partition import Phase, split


@flax.struct.dataclass
class TrainState:
    """The state of a run; all of it is in a checkpoint.

    Attributes:
      step: the global step, which schedules read.
      params: all parameters, trained and frozen, float32.
      batch_stats: running statistics; empty for a family without.
      opt_state: of the phase's optimizer; holds nothing for frozen leaves.
      hyperparameters: numbers of each group (``tlj.freezing.optimizer.hyperparameters``).
    """

    step: Int[Array, ""]
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    opt_state: optax.OptState
    hyperparameters: dict[str, Any]


def create_state(
    variables: Mapping[str, Any],
    phase: Phase,
    optimizer: optax.GradientTransformationExtraArgs,
    hyperparameters: Mapping[str, Any],
) -> TrainState:
    """Builds the state at step 0 of a phase; meant to be compiled with its output shardings.

    Args:
      variables: ``params`` and ``batch_stats``.
      phase: what trains.
      optimizer: of the phase.
      hyperparameters: of the phase's groups.
    """
    trainable, _ = split(variables["params"], phase)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=dict(variables["params"]),
        batch_stats=dict(variables["batch_stats"]),
        opt_state=optimizer.init(trainable),
        hyperparameters=dict(hyperparameters),
    )
