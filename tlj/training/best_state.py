"""The best checkpoint of a run, as a state that can be evaluated."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import numpy as np

from tlj.distributed import agree
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.runs import read_variables
from tlj.training.compiled import abstract_state
from tlj.training.run_record import RunRecord
from tlj.training.setup import Setup
from tlj.training.state import TrainState


def best_of(setup: Setup, record: RunRecord, directory: pathlib.Path, last: int) -> dict[str, Any]:
    """Returns step, metric and value of the best checkpoint that is there.

    Where no validation had a value of the metric, none is better than the last step, whose value is None.

    Args:
      setup: of the run.
      record: of the run, at its end.
      directory: of the run.
      last: its last step.
    """
    # One that is damaged was put aside.
    there = agree(checkpoint_steps(directory))
    step, value = next(((step, value) for step, value in record.best if step in there), (last, None))
    return {"step": int(step), "metric": setup.config["checkpoint"]["metric"], "value": value}


def best_state(setup: Setup, state: TrainState, directory: pathlib.Path, step: int, last: int) -> TrainState:
    """Returns a state with the parameters and statistics of a checkpoint, as the run is evaluated.

    Args:
      setup: of the run.
      state: of its last step, as it is evaluated; returned where that is the one.
      directory: of the run.
      step: of the checkpoint.
      last: the last step.

    Raises:
      InputError: where the checkpoint cannot be read.
    """
    if step == last:
        return state
    variables, _ = read_variables(directory, step)
    shapes = abstract_state(setup, setup.phases[0], whole=True)

    def put(leaf: np.ndarray, shape: jax.ShapeDtypeStruct) -> jax.Array:
        return jax.make_array_from_callback(shape.shape, shape.sharding, lambda index: leaf[index])

    return state.replace(
        params=jax.tree.map(put, variables["params"], shapes.params),
        batch_stats=jax.tree.map(put, variables["batch_stats"], shapes.batch_stats),
    )
