"""Parquet files: text in memory, images mapped from an Arrow file in the cache, where any row is one read away."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pyarrow as pa

from tlj.data.origins.arrow_copy import arrow_copy, file_state
from tlj.data.origins.rows import HoldsTable, InMemory, Rows
from tlj.errors import InputError


class Mapped:
    """Columns of a Parquet file, mapped; another process gets the name and maps them again.

    Args:
      file: the Parquet file.
      names: of the columns.
    """

    def __init__(self, file: pathlib.Path, names: list[str]):
        self.table = _mapped(file, names)
        self._arguments = file, names

    def __reduce__(self):
        return Mapped, self._arguments


def schema_of(file: pathlib.Path) -> pa.Schema:
    """Returns the columns of a file.

    Raises:
      InputError: for a file that is not Parquet.
    """
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from None


def class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Returns the class names of a label column that the ``datasets`` library wrote into a file, or none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        # Of a list, the names are those of what it holds.
        names = features[label].get("feature", features[label])["names"]
    except (KeyError, ValueError, TypeError, AttributeError):
        return ()
    known = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return tuple(names) if known else ()


def read_parquet(file: pathlib.Path, part: str, names: list[str], image: str) -> Rows:
    """Returns columns of a file.

    Args:
      file: to be read.
      part: the split that it is.
      names: of the columns.
      image: the column with images; empty where there is none.

    Raises:
      InputError: for a file that cannot be read.
    """
    import pyarrow.parquet as pq

    try:
        holds_bytes = bool(image) and not pa.types.is_string(schema_of(file).field(image).type)
        holder: HoldsTable = Mapped(file, names) if holds_bytes else InMemory(pq.read_table(file, columns=names))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from None
    return Rows(file.name, part, holder, file.parent, stamp=f"{file.name} {file.stat().st_size}")


def _unreadable(file: pathlib.Path, error: Exception) -> InputError:
    return InputError(f"cannot be read as parquet: {error}", where=str(file), do="check the file, or write it again")


def _mapped(file: pathlib.Path, names: list[str]) -> pa.Table:
    import pyarrow.parquet as pq

    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(file) as source:
            yield from source.iter_batches(1024, columns=names)

    table = arrow_copy((file_state(file), names), batches)
    return pq.read_table(file, columns=names) if table is None else table
