"""Validation during training, and the test split once at the end."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from tlj.data.label_scale import label_scale
from tlj.data.splits import SealedTest
from tlj.distributed import barrier, is_main
from tlj.training.compiled import evaluate_program
from tlj.training.evaluate import predict
from tlj.training.parallel import batch_sharding
from tlj.training.programs import Programs
from tlj.training.run_files import read_predictions, write_predictions
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.tasks import TASKS


def _logits(
    setup: Setup, programs: Programs, state: TrainState, examples: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n logits"]:
    """What is reported of examples: in the unit of the labels where these are numbers."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    batch_size = setup.config["evaluate"]["batch_size"]

    def program_of(batch: Mapping[str, Any]) -> Callable[..., jax.Array]:
        return evaluate_program(setup, programs, batch).call

    outputs = predict(program_of, variables, setup.reader, examples, batch_size, batch_sharding(setup.mesh))
    scale = label_scale(setup.source.labels, setup.split.train)
    return TASKS[setup.config["task"]].predictions(scale.to_unit(outputs) if scale else outputs)


def validate(setup: Setup, programs: Programs, state: TrainState) -> dict[str, float | None]:
    """Returns the metrics of the task on the validation part; None where one is not defined there.

    Args:
      setup: of the run.
      programs: compiled programs to share.
      state: whose parameters and statistics are evaluated.
    """
    examples = setup.split.validation
    logits = _logits(setup, programs, state, examples)
    metrics = TASKS[setup.config["task"]].evaluate(logits, setup.source.labels[examples])
    return {f"validation_{name}": value for name, value in metrics.items()}


def final_metrics(setup: Setup, path: pathlib.Path) -> dict[str, float | None]:
    """Returns the metrics of each split, from the predictions of ``predict_test``."""
    task, metrics = TASKS[setup.config["task"]], {}
    for part, (logits, labels) in read_predictions(path).items():
        metrics.update({f"{part}_{name}": value for name, value in task.evaluate(logits, labels).items()})
    return metrics


def predict_test(setup: Setup, programs: Programs, state: TrainState, sealed: SealedTest, path: pathlib.Path) -> None:
    """Opens the test split and writes the predictions for it and for the validation part.

    Of several processes all compute them, one writes them, and none goes on before they are there.

    Args:
      setup: of the run.
      programs: compiled programs to share.
      state: whose parameters and statistics are evaluated.
      sealed: the test split.
      path: of the file.
    """
    source, parts = setup.source, {"validation": setup.split.validation, "test": sealed.open()}
    examples = np.concatenate(list(parts.values()))
    logits = np.concatenate([_logits(setup, programs, state, part) for part in parts.values()])
    if is_main():
        write_predictions(
            path,
            [source.ids[i] for i in examples],
            source.labels[examples],
            logits,
            [name for name, part in parts.items() for _ in part],
            [source.groups[i] for i in examples] if source.groups else None,
        )
    barrier("predictions")
