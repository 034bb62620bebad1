"""Validation during training, and the test split once at the end, with the shifted sets and the best checkpoint."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from tlj.data.label_kinds import Labels
from tlj.data.label_scale import label_scale
from tlj.data.sources import Reader
from tlj.data.splits import SealedTest
from tlj.distributed import barrier, is_main
from tlj.training.compiled import evaluate_program
from tlj.training.compute_type import evaluation_params
from tlj.training.evaluate import predict
from tlj.training.parallel import batch_sharding
from tlj.training.programs import Programs
from tlj.training.run_files import read_predictions, write_predictions
from tlj.training.setup import Setup
from tlj.training.shifts import shift_reader
from tlj.training.state import TrainState
from tlj.training.tasks import TASKS

# Cached features of a batch.
_FEATURES = 1024


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """Rows of ``predictions.parquet``: what they are named, and where the examples are read."""

    split: str
    ids: list[str]
    labels: Labels
    groups: list[str | None]
    examples: Int[np.ndarray, " n"]
    reader: Callable[[], Reader]


def _logits(
    setup: Setup, programs: Programs, state: TrainState, examples: Int[np.ndarray, " n"], reader: Reader
) -> Float[np.ndarray, "n logits"]:
    """What is reported of examples: in the unit of the labels where these are numbers."""
    params = evaluation_params(setup, state.params, programs)
    variables = {"params": params, "batch_stats": state.batch_stats}
    batch_size = setup.config["evaluate"]["batch_size"]
    if setup.cached and setup.cached.depth == setup.spec.depth:
        # A head takes features in no time: what counts is the number of calls.
        batch_size = max(batch_size, _FEATURES)

    def program_of(batch: Mapping[str, Any]) -> Callable[..., jax.Array]:
        return evaluate_program(setup, programs, batch).call

    outputs = predict(program_of, variables, reader, examples, batch_size, batch_sharding(setup.mesh))
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
    logits = _logits(setup, programs, state, examples, setup.reader)
    metrics = TASKS[setup.config["task"]].evaluate(logits, setup.source.labels[examples])
    return {f"validation_{name}": value for name, value in metrics.items()}


def final_metrics(setup: Setup, path: pathlib.Path) -> dict[str, float | None]:
    """Returns the metrics of each split, from the predictions of ``predict_held_out``."""
    task, metrics = TASKS[setup.config["task"]], {}
    for part, (logits, labels) in read_predictions(path).items():
        metrics.update({f"{part}_{name}": value for name, value in task.evaluate(logits, labels).items()})
    return metrics


def predict_held_out(
    setup: Setup,
    programs: Programs,
    state: TrainState,
    sealed: SealedTest,
    path: pathlib.Path,
    best: TrainState | None = None,
    whole: tuple[Setup, TrainState] | None = None,
) -> None:
    """Writes the predictions for the validation part and, opened for it, the test split and every shifted set.

    Where the config says that the test is not opened, those for the validation part alone. Of several processes all
    compute them, one writes them, and none goes on before they are there.

    Args:
      setup: of the run.
      programs: compiled programs to share.
      state: whose parameters and statistics are evaluated.
      sealed: the test split.
      path: of the file.
      best: the same of the best checkpoint, whose splits are ``validation_best`` and ``test_best``; None for none. The
        shifted sets are predicted with ``state`` alone.
      whole: the run's own setup and all of ``state``, for the shifted sets, where the others start from activations;
        None where they do not.
    """
    own = [_own_part(setup, "validation", setup.split.validation)]
    shifted = []
    if setup.config["evaluate"]["test"]:
        own.append(_own_part(setup, "test", sealed.open()))
        shifted = _shifted_parts(setup)
    parts = [*own, *shifted]
    logits = [_logits(setup, programs, state, part.examples, part.reader()) for part in own]
    of_shifts, whole_state = whole or (setup, state)
    logits += [_logits(of_shifts, programs, whole_state, part.examples, part.reader()) for part in shifted]
    if best is not None:
        again = best is state
        logits += [
            logits[i] if again else _logits(setup, programs, best, part.examples, part.reader())
            for i, part in enumerate(own)
        ]
        parts += [dataclasses.replace(part, split=f"{part.split}_best") for part in own]
    if is_main():
        write_predictions(
            path,
            [name for part in parts for name in part.ids],
            np.concatenate([part.labels for part in parts]),
            np.concatenate(logits),
            [part.split for part in parts for _ in part.ids],
            [group for part in parts for group in part.groups],
        )
    barrier("predictions")


def _own_part(setup: Setup, split: str, examples: Int[np.ndarray, " n"]) -> _Part:
    source = setup.source
    groups = [source.groups[i] if source.groups else None for i in examples]
    return _Part(
        split, [source.ids[i] for i in examples], source.labels[examples], groups, examples, lambda: setup.reader
    )


def _shifted_parts(setup: Setup) -> list[_Part]:
    def reader_of(shift) -> Callable[[], Reader]:
        return lambda: shift_reader(shift, len(setup.shifts), setup.fit.preprocessing, setup.fit.reading)

    return [
        _Part(shift.split, shift.ids, shift.labels[shift.examples], shift.groups, shift.examples, reader_of(shift))
        for shift in setup.shifts
    ]
