"""The moving average of what trains, in place of the parameters themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from tlj.training.state import TrainState


def averaged(state: TrainState, config: Mapping[str, Any]) -> TrainState:
    """Returns a state as it is evaluated: where the config says so, each parameter that trains is its moving average.

    Running statistics are not averaged: they are moving averages already. A parameter that an earlier phase trained and
    this one freezes is what it was frozen as: that is what the others train beside, and what its average would tend to.

    Args:
      state: whose arrays the result shares.
      config: of the run, nested.
    """
    if not config["evaluate"]["ema"]:
        return state
    params = jax.tree.map(
        lambda mean, leaf: leaf if mean is None else mean, state.ema, state.params, is_leaf=lambda leaf: leaf is None
    )
    return state.replace(params=params)
