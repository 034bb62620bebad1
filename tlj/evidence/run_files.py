"""The files of the runs of a comparison, read and scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tlj.errors import InputError
from tlj.evidence.predictions import AGAIN, Predictions, read_splits
from tlj.evidence.scores.group_counts import group_counts
from tlj.evidence.scores.metrics import Scores, score
from tlj.evidence.scores.shift_scores import shift_scores


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


def failure(run: Path) -> str:
    """Returns why a run failed for good; nothing where it did not, or is to be tried again.

    Args:
      run: its directory.

    Raises:
      InputError: its ``failed.json`` cannot be read.
    """
    path = run / "failed.json"
    failed = read_json(path) if path.is_file() else {}
    return str(failed.get("error") or "failed") if failed.get("attempts", 0) > 1 else ""


def read_runs(directory: Path, keys: Sequence[RunKey]) -> tuple[Run, ...]:
    """Reads and scores finished runs; their logits are let go as soon as a run is scored.

    Args:
      directory: of the comparison.
      keys: of the runs, which all have a ``summary.json``.

    Raises:
      InputError: a file cannot be read, or two runs were scored on different test examples.
    """
    largest: dict[str, int] = {}
    for key in keys:
        largest[key.arm] = max(key.budget, largest.get(key.arm, key.budget))
    runs, first = [], None
    for key in keys:
        path = directory / key.path
        splits = read_splits(path / "predictions.parquet")
        if "test" not in splits:
            raise InputError("holds no example of the test split", where=str(path / "predictions.parquet"), do=AGAIN)
        first = first or splits["test"]
        if not splits["test"].same_examples(first):
            raise InputError(
                f"was scored on other test examples than {keys[0].path}",
                where=str(path),
                do="remove this run's directory and run `tlj compare` again",
            )
        scores = _scores(splits, detailed=key.budget == largest[key.arm])
        runs.append(Run(key, read_json(path / "summary.json"), scores))
    return tuple(runs)


def score_run(path: Path) -> Scores:
    """Returns the scores of one finished run.

    Args:
      path: its directory.

    Raises:
      InputError: its predictions cannot be read, or hold no test example.
    """
    splits = read_splits(Path(path) / "predictions.parquet")
    if "test" not in splits:
        raise InputError("holds no example of the test split", where=str(path), do=AGAIN)
    return _scores(splits, detailed=False)


def _scores(splits: Mapping[str, Predictions], detailed: bool) -> Scores:
    """Scores the test split and, where the run tested its best checkpoint too, that one by its own validation."""
    validation = splits.get("validation")
    scores = _score(splits["test"], validation, detailed)
    scores = replace(scores, groups=group_counts(splits["test"]), shifts=shift_scores(splits))
    if "test_best" not in splits:
        return scores
    return replace(scores, best=_score(splits["test_best"], splits.get("validation_best", validation), False))


def _score(test: Predictions, validation: Predictions | None, detailed: bool) -> Scores:
    labelled = None if validation is None else (validation.logits, validation.labels)
    return score(test.logits, test.labels, labelled, detailed)
