"""The predictions file of a run, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Num

from tlj.errors import InputError

AGAIN = "remove this run's directory and run `tlj compare` again"
CLASSES, SETS, NUMBERS = "classes", "sets", "numbers"
_COLUMNS = ["id", "label", "logits", "group", "split"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The scored examples of one split, in the order of their ids.

    Args:
      ids: one string per example.
      labels: class indices; of sets of classes a row of 0 and 1 per example; of numbers the numbers.
      logits: one row per example; of numbers a single column, what was predicted.
      groups: one string or null per example; None where the file has no such column.
    """

    ids: pa.Array
    labels: Num[np.ndarray, "example ..."]
    logits: Float[np.ndarray, "example class"]
    groups: pa.Array | None = None

    @property
    def kind(self) -> str:
        """What the labels are: ``classes``, ``sets`` or ``numbers``."""
        return kind_of(self.labels)

    def same_examples(self, other: Predictions) -> bool:
        """Whether both hold the same examples with the same labels."""
        return self.ids.equals(other.ids) and np.array_equal(self.labels, other.labels)


def kind_of(labels: Num[np.ndarray, "example ..."]) -> str:
    """Returns what labels are: ``classes``, ``sets`` (one row per example) or ``numbers`` (floats)."""
    return SETS if labels.ndim > 1 else NUMBERS if np.issubdtype(labels.dtype, np.floating) else CLASSES


def read_predictions(path: Path, split: str) -> Predictions:
    """Reads one split of a ``predictions.parquet``.

    Args:
      path: the file.
      split: such as ``"test"`` or ``"validation"``.

    Returns:
      The examples of that split, sorted by id.

    Raises:
      InputError: the file is missing or damaged, has no example of that split, or its logits do not fit its labels.
    """
    splits = read_splits(path)
    if split not in splits:
        raise InputError(f"holds no example of the {split} split", where=str(path), do=AGAIN)
    return splits[split]


def read_splits(path: Path) -> dict[str, Predictions]:
    """Reads every split of a ``predictions.parquet``.

    Args:
      path: the file.

    Returns:
      The examples by split, each sorted by id.

    Raises:
      InputError: the file is missing or damaged, or its logits do not fit its labels.
    """
    try:
        # A file of a few hundred rows is read sooner by one thread than handed to several.
        table = pq.ParquetFile(path, pre_buffer=False).read(columns=_COLUMNS, use_threads=False)
        ids, labels, logits, split = (_column(table, name) for name in ("id", "label", "logits", "split"))
        order = pc.sort_indices(ids).to_numpy()
        coded = split.dictionary_encode()
        codes, names = coded.indices.to_numpy(zero_copy_only=False)[order], coded.dictionary.to_pylist()
        groups = _column(table, "group") if "group" in table.column_names else None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise InputError(f"cannot be read ({error})", where=str(path), do=AGAIN) from error
    if not len(ids):
        return {}
    values, targets = _logits(logits, path), _labels(labels, path)
    _check_fit(targets, values, path)
    splits = {}
    for code, name in enumerate(names):
        rows = order[codes == code]
        taken = pa.array(rows)
        splits[name] = Predictions(
            ids.take(taken), targets[rows], values[rows], None if groups is None else groups.take(taken)
        )
    return splits


def _logits(column: pa.Array, path: Path) -> Float[np.ndarray, "example class"]:
    return _rows(column, path, "logits")


def _labels(column: pa.Array, path: Path) -> Num[np.ndarray, "example ..."]:
    if pa.types.is_list(column.type):
        return _rows(column, path, "labels")
    if column.null_count:
        raise InputError("holds an example without a label", where=str(path), do=AGAIN)
    return column.to_numpy(zero_copy_only=False)


def _rows(column: pa.ListArray, path: Path, what: str) -> Num[np.ndarray, "example class"]:
    lengths = np.diff(column.offsets.to_numpy())
    if lengths[0] == 0 or (lengths != lengths[0]).any() or column.null_count:
        raise InputError(f"holds rows of {what} of different lengths", where=str(path), do=AGAIN)
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), lengths[0])


def _check_fit(labels: Num[np.ndarray, "example ..."], logits: Float[np.ndarray, "example class"], path: Path) -> None:
    width, kind = logits.shape[1], kind_of(labels)
    if kind == CLASSES and (labels.min() < 0 or labels.max() >= width):
        raise InputError(f"holds a label outside its {width} classes", where=str(path), do=AGAIN)
    if kind == SETS and labels.shape[1] != width:
        raise InputError(f"holds sets of {labels.shape[1]} classes, but {width} logits", where=str(path), do=AGAIN)
    if kind == NUMBERS and width != 1:
        raise InputError(f"holds {width} predictions for each number", where=str(path), do=AGAIN)


def _column(table: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays(table[name].chunks) if table[name].num_chunks != 1 else table[name].chunk(0)
