"""The contents of the rows of tables: texts, encoded images, or the files that a column names."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import pyarrow as pa

from tlj.data.origins.rows import Rows
from tlj.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class TableItems:
    """The contents of rows, one table after another (``tlj.data.examples.Items``).

    Attributes:
      tables: the rows.
      columns: one or two with text, or one with images.
      kind: ``"text"`` or ``"images"``.
    """

    tables: Sequence[Rows]
    columns: tuple[str, ...]
    kind: str

    def __getstate__(self) -> dict:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> bytes | tuple[str, ...]:
        table, row = self._place(index)
        if self.tables[table].contents is not None:
            return self.tables[table].contents[self.tables[table].row_of_file(row)]
        values = [column[row].as_py() for column in self._contents[table]]
        if self.kind == "text":
            return tuple(values)
        content, path = values
        return content if content is not None else self._read(index, path)

    def where(self, index: int) -> str:
        """Returns the file and the row of an example, and the file of its image where that has one."""
        table, row = self._place(index)
        where = self.tables[table].where(row)
        if self.kind == "text":
            return where
        content, path = (column[row] for column in self._contents[table])
        return where if content.is_valid or not path.is_valid else f"{where}, {path.as_py()}"

    @functools.cached_property
    def _ends(self) -> list[int]:
        ends = [0]
        for rows in self.tables:
            ends.append(ends[-1] + len(rows))
        return ends

    @functools.cached_property
    def _contents(self) -> list[tuple[pa.ChunkedArray, ...]]:
        if self.kind == "text":
            return [tuple(rows.column(name) for name in self.columns) for rows in self.tables]
        return [image_columns(rows, self.columns[0]) for rows in self.tables]

    def _place(self, index: int) -> tuple[int, int]:
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(index)
        table = bisect.bisect_right(self._ends, index) - 1
        return table, index - self._ends[table]

    def _read(self, index: int, path: str | None) -> bytes:
        table, _ = self._place(index)
        try:
            return image_path(self.tables[table], path or "").read_bytes()
        except OSError as error:
            raise InputError(
                f"the image cannot be read: {error.strerror}", where=self.where(index), do="check the file"
            ) from None


def image_path(rows: Rows, path: str) -> pathlib.Path:
    """Returns where the file lies that a row names."""
    return (rows.folder or pathlib.Path()) / path


def image_columns(rows: Rows, name: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Returns the bytes of images and the paths of their files, null where there is none.

    Raises:
      InputError: for a column that holds neither.
    """
    column = rows.column(name)
    content = path = pa.chunked_array([pa.nulls(len(column))])
    if pa.types.is_struct(column.type):
        held = dict(zip((field.name for field in column.type), column.flatten(), strict=True))
        content, path = held.get("bytes", content), held.get("path", path)
    elif _is_one_of(column.type, pa.types.is_string, pa.types.is_large_string):
        path = column
    else:
        content = column
    bytes_or_none = _is_one_of(content.type, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
    path_or_none = _is_one_of(path.type, pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    if not (bytes_or_none and path_or_none) or pa.types.is_null(column.type):
        raise InputError(
            f"the column {name!r} holds {column.type}, not images",
            where=rows.name,
            do="give bytes of image files, paths, or a struct of both",
        )
    try:
        path.validate(full=True)
    except pa.ArrowInvalid:
        what = f"the column {name!r} has paths that are not UTF-8"
        raise InputError(what, where=rows.name, do="write the table again") from None
    return content, path


def _is_one_of(kind: pa.DataType, *types: Callable[[pa.DataType], bool]) -> bool:
    return any(is_type(kind) for is_type in types)
