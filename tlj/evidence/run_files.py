"""The files of the runs of a comparison, read and scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlj.errors import InputError
from tlj.evidence.predictions import read_predictions
from tlj.evidence.scores.metrics import Scores, score


@dataclass(frozen=True)
class RunKey:
    """Which run: an arm at a label budget with a seed, and where its directory lies below the comparison."""

    arm: str
    budget: int
    seed: int
    path: str


@dataclass(frozen=True)
class Run:
    """A finished run: its summary as written, and its scores on the test set."""

    key: RunKey
    summary: Mapping[str, Any]
    scores: Scores


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Args:
      path: the file.

    Returns:
      The object.

    Raises:
      InputError: the file cannot be read, or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as JSON ({error})", where=str(path), do="run `tlj compare` again") from error
    if not isinstance(value, dict):
        raise InputError("holds no JSON object", where=str(path), do="run `tlj compare` again")
    return value


def read_runs(directory: Path, keys: Sequence[RunKey]) -> tuple[Run, ...]:
    """Reads and scores finished runs.

    Args:
      directory: of the comparison.
      keys: of the runs, which all have a ``summary.json``.

    Raises:
      InputError: a file cannot be read, or two runs were scored on different test examples.
    """
    runs, first = [], None
    for key in keys:
        path = directory / key.path
        predictions = read_predictions(path / "predictions.parquet", split="test")
        first = first or predictions
        if not predictions.same_examples(first):
            raise InputError(
                f"was scored on other test examples than {keys[0].path}",
                where=str(path),
                do="remove this run's directory and run `tlj compare` again",
            )
        summary = read_json(path / "summary.json")
        runs.append(Run(key, summary, score(predictions.logits, predictions.labels)))
    return tuple(runs)
