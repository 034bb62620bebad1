"""The predictions file of a run, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Integer

from tlj.errors import InputError

AGAIN = "remove this run's directory and run `tlj compare` again"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The scored examples of one split, in the order of their ids.

    Args:
      ids: one string per example.
      labels: class indices.
      logits: one row per example.
    """

    ids: pa.Array
    labels: Integer[np.ndarray, " example"]
    logits: Float[np.ndarray, "example class"]

    def same_examples(self, other: Predictions) -> bool:
        """Whether both hold the same examples with the same labels."""
        return self.ids.equals(other.ids) and np.array_equal(self.labels, other.labels)


def read_predictions(path: Path, split: str) -> Predictions:
    """Reads one split of a ``predictions.parquet``.

    Args:
      path: the file.
      split: ``"test"`` or ``"validation"``.

    Returns:
      The examples of that split, sorted by id.

    Raises:
      InputError: the file is missing or damaged, has no example of that split, or its logits do not fit its labels.
    """
    try:
        table = pq.ParquetFile(path).read(columns=["id", "label", "logits", "split"])
        table = table.filter(pc.equal(table["split"], split))
        table = table.take(pc.sort_indices(table["id"])).combine_chunks()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"cannot be read ({error})", where=str(path), do=AGAIN) from error
    if table.num_rows == 0:
        raise InputError(f"holds no example of the {split} split", where=str(path), do=AGAIN)
    labels = _column(table, "label").to_numpy(zero_copy_only=False)
    values = _column(table, "logits").flatten().to_numpy(zero_copy_only=False)
    if (
        len(values) % len(labels)
        or len(values) == 0
        or pc.count_distinct(pc.list_value_length(table["logits"])).as_py() != 1
    ):
        raise InputError("holds rows of logits of different lengths", where=str(path), do=AGAIN)
    logits = values.reshape(len(labels), -1)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise InputError(f"holds a label outside its {logits.shape[1]} classes", where=str(path), do=AGAIN)
    return Predictions(_column(table, "id"), labels, logits)


def _column(table: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays(table[name].chunks)
