"""Validation during training, and the test split once at the end."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from tlj.data.splits import SealedTest
from tlj.training.compiled import evaluate_program
from tlj.training.evaluate import loss_and_accuracy, predict
from tlj.training.parallel import batch_sharding
from tlj.training.programs import Programs
from tlj.training.run_files import read_predictions, write_predictions
from tlj.training.setup import Setup
from tlj.training.state import TrainState


def _logits(
    setup: Setup, programs: Programs, state: TrainState, examples: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n classes"]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    batch_size = setup.config["evaluate"]["batch_size"]

    def program_of(batch: Mapping[str, Any]) -> Callable[..., jax.Array]:
        return evaluate_program(setup, programs, batch).call

    return predict(program_of, variables, setup.reader, examples, batch_size, batch_sharding(setup.mesh))


def validate(setup: Setup, programs: Programs, state: TrainState) -> dict[str, float]:
    """Returns loss (in nats) and accuracy on the validation part."""
    examples = setup.split.validation
    loss, accuracy = loss_and_accuracy(_logits(setup, programs, state, examples), setup.source.labels[examples])
    return {"validation_loss": loss, "validation_accuracy": accuracy}


def final_metrics(path: pathlib.Path) -> dict[str, float | None]:
    """Returns loss and accuracy of each split, from the predictions of ``predict_test``."""
    metrics: dict[str, float | None] = {}
    for name, (logits, labels) in read_predictions(path).items():
        metrics[f"{name}_loss"], metrics[f"{name}_accuracy"] = loss_and_accuracy(logits, labels)
    return metrics


def predict_test(setup: Setup, programs: Programs, state: TrainState, sealed: SealedTest, path: pathlib.Path) -> None:
    """Opens the test split and writes the predictions for it and for the validation part."""
    source, parts = setup.source, {"validation": setup.split.validation, "test": sealed.open()}
    examples = np.concatenate(list(parts.values()))
    write_predictions(
        path,
        [source.ids[i] for i in examples],
        source.labels[examples],
        np.concatenate([_logits(setup, programs, state, part) for part in parts.values()]),
        [name for name, part in parts.items() for _ in part],
        [source.groups[i] for i in examples] if source.groups else None,
    )
