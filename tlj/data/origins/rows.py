"""Rows of a table with their places: what every reader of tables gives, and what labels and contents are taken from."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from tlj.data.settings import Problems


class HoldsTable(Protocol):
    """Something with a table that can be sent to another process, best by the name of its file."""

    table: pa.Table


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory:
    """A table in memory, sent whole."""

    table: pa.Table


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one file, or of one split of a data set that is no file.

    Attributes:
      name: of the file, for ids and messages.
      part: the split it belongs to; empty where there are none.
      holder: has the columns in use, as they were read.
      folder: where paths of images start; None where there can be none.
      kept: which rows of the file these are, from 0; None for all.
      lines: finds the line of every row of the file, as an editor counts from 1; None where the two are the same.
      texts: columns made text, in place of the holder's.
      contents: images by the number of their row in the file, from 0, where the table has only a hash of each.
      stamp: what tells one state of the file from another at no cost, for content too large to hash.
    """

    name: str
    part: str
    holder: HoldsTable
    folder: pathlib.Path | None = None
    kept: Int[np.ndarray, " rows"] | None = None
    lines: Callable[[], Int[np.ndarray, " all_rows"]] | None = None
    texts: Mapping[str, pa.ChunkedArray] = dataclasses.field(default_factory=dict)
    contents: Sequence[bytes] | None = None
    stamp: str = ""

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def table(self) -> pa.Table:
        """The columns in use, as they were read."""
        return self.holder.table

    @property
    def numbers(self) -> Int[np.ndarray, " rows"]:
        """The number of every row in the file, from 1, the header not counted."""
        return (np.arange(len(self)) if self.kept is None else self.kept) + 1

    def row_of_file(self, row: int) -> int:
        """Returns the number of a row in the file, from 0, the header not counted."""
        return row if self.kept is None else int(self.kept[row])

    def where(self, row: int) -> str:
        """Returns the file and the line of a row, for messages."""
        row = self.row_of_file(row)
        return f"{self.name}, row {row + 1 if self._lines is None else self._lines[row]}"

    @functools.cached_property
    def _lines(self) -> Int[np.ndarray, " all_rows"] | None:
        return None if self.lines is None else self.lines()

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns a column; nulls where the file does not have it."""
        if name in self.texts:
            return self.texts[name]
        if name in self.table.column_names:
            return self.table.column(name)
        return pa.chunked_array([pa.nulls(len(self))])

    def without(self, left_out: list[int]) -> Rows:
        """Returns the rows but for some."""
        stay = np.setdiff1d(np.arange(len(self)), left_out)
        table = self.table.take(pa.array(stay))
        return dataclasses.replace(self, holder=InMemory(table), kept=stay if self.kept is None else self.kept[stay])


def decoded(rows: Rows, names: list[str], problems: Problems) -> Rows:
    """Returns the rows with these columns as valid text; a row that is not UTF-8 goes to ``problems``.

    Args:
      rows: as read.
      names: of columns; those that hold neither bytes nor text stay as they are.
      problems: of the data set.
    """
    bad = set()
    for name in (name for name in names if name in rows.table.column_names):
        column = rows.table.column(name)
        if _as_text(column) is None:
            bad.update(
                row for row, value in enumerate(column.cast(pa.large_binary()).to_pylist()) if not _is_utf8(value)
            )
    for row in sorted(bad):
        problems.add(rows.where(row), "is not UTF-8 text", "save the file as UTF-8")
    if bad:
        rows = rows.without(sorted(bad))
    columns = {name: rows.table.column(name) for name in names if name in rows.table.column_names}
    texts = {name: _as_text(column) for name, column in columns.items()}
    if set(rows.table.column_names) - set(texts):
        return dataclasses.replace(rows, texts=texts)
    return dataclasses.replace(rows, holder=InMemory(pa.table(texts)))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The column as text where it holds bytes or text, else as it is; None where it is not all valid UTF-8."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    textual = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    if not any(is_kind(kind) for is_kind in textual + binary):
        return column
    try:
        column = column.cast(pa.large_string())
        column.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return column


def _is_utf8(value: bytes | None) -> bool:
    try:
        return value is None or bool(value.decode()) or True
    except UnicodeDecodeError:
        return False
