"""The files of a run: written whole or not at all, except the metrics, which grow line by line."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Num

from tlj.data.label_kinds import are_numbers, are_sets
from tlj.errors import InputError, RunError


@contextlib.contextmanager
def full_disk_told(directory: pathlib.Path) -> Iterator[None]:
    """Tells in one line of a disk that is full, whichever file of a run had no room.

    Args:
      directory: of the run.

    Raises:
      RunError: in place of the error of the file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(
            f"{directory}: no space left on the disk; make room, and run the same command again: it goes on from the "
            "last checkpoint"
        ) from error


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file by a temporary one and a rename, so that a kill leaves the old or the new, never a half.

    A number that is not finite is written as null: JSON has no other way, and a run that diverged must be readable.
    """
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(_finite(content), indent=1, sort_keys=True, allow_nan=False) + "\n")
    os.replace(temporary, path)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class MetricsLog:
    """``metrics.jsonl``: append-only; a restart drops the lines beyond the step it continues from.

    Args:
      path: of the file.
      step: the step that the run continues from; 0 for a fresh one.
    """

    def __init__(self, path: pathlib.Path, step: int):
        kept = [line for line, row in _whole_rows(path) if row["step"] <= step] if step else []
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text("".join(kept))
        os.replace(temporary, path)
        self._file = path.open("a")

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends one line and hands it to the operating system, so that a kill of the process keeps it."""
        self._file.write(json.dumps(_finite(row), sort_keys=True, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _whole_rows(path: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    """Lines that end, and what they say; a kill may leave the last one cut."""
    if not path.exists():
        return []
    rows = []
    # What ends lines in Python besides a new line may be inside one.
    for number, line in enumerate(path.read_text(errors="replace").split("\n")[:-1], 1):
        try:
            row = json.loads(line)
            row["step"] + 0
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"line {number} is no row of metrics", where=str(path), do="take it out, and run again"
            ) from error
        rows.append((line + "\n", row))
    return rows


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the rows of a ``metrics.jsonl``.

    Raises:
      InputError: for a line that nothing of tlj has written.
    """
    return [row for _, row in _whole_rows(path)]


def read_predictions(
    path: pathlib.Path,
) -> dict[str, tuple[Float[np.ndarray, "n logits"], Num[np.ndarray, "n ..."]]]:
    """Reads logits and labels from ``predictions.parquet``, by split; labels are as a source has them."""
    table = pq.read_table(path, columns=["split", "logits", "label"])
    splits = np.array(table["split"].to_pylist())
    logits = np.array(table["logits"].to_pylist(), np.float32)
    is_list = pa.types.is_list(table["label"].type)
    labels = np.array(table["label"].to_pylist(), np.int8) if is_list else table["label"].to_numpy()
    return {name: (logits[splits == name], labels[splits == name]) for name in dict.fromkeys(splits.tolist())}


def write_predictions(
    path: pathlib.Path,
    ids: Sequence[str],
    labels: Num[np.ndarray, "n ..."],
    logits: Float[np.ndarray, "n logits"],
    splits: Sequence[str],
    groups: Sequence[str] | None = None,
) -> None:
    """Writes ``predictions.parquet``: id, label, logits, group (null where the data has none) and split.

    Args:
      path: of the file.
      ids: of the examples.
      labels: of the examples: int32 classes, float32 numbers, or a list of int8, one for each class, of sets.
      logits: as the task reports them: of two classes ``[0, z]``, of numbers what was predicted, in their unit.
      splits: the split of each example.
      groups: of the examples, or None.
    """
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "label": _label_column(labels),
            "logits": pa.array(list(logits.astype(np.float32)), pa.list_(pa.float32())),
            "group": pa.nulls(len(ids), pa.string()) if groups is None else pa.array(groups, pa.string()),
            "split": pa.array(splits, pa.string()),
        }
    )
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(table, temporary)
    os.replace(temporary, path)


def _label_column(labels: Num[np.ndarray, "n ..."]) -> pa.Array:
    if are_sets(labels):
        return pa.array(list(labels), pa.list_(pa.int8()))
    return pa.array(labels, pa.float32() if are_numbers(labels) else pa.int32())
