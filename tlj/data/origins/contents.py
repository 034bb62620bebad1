"""What is wrong with the texts and images of a table, as far as that shows without decoding an image."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from tlj.data.origins.columns import Columns
from tlj.data.origins.items import image_columns, image_path
from tlj.data.origins.rows import Rows
from tlj.errors import InputError


def content_problems(tables: Sequence[Rows], columns: Columns) -> dict[int, str]:
    """Returns why rows cannot be used: text that is empty, images that are empty or whose file is missing.

    Args:
      tables: rows of every file.
      columns: in use.

    Returns:
      Reasons by the index of the example.

    Raises:
      InputError: for a column that holds neither text nor images.
    """
    reasons: dict[int, str] = {}
    begin = 0
    for rows in tables:
        found = _text_problems(rows, columns.text) if columns.kind == "text" else _image_problems(rows, columns.image)
        reasons.update({begin + row: reason for row, reason in found.items()})
        begin += len(rows)
    return reasons


def _text_problems(rows: Rows, names: Sequence[str]) -> dict[int, str]:
    reasons: dict[int, str] = {}
    for name in names:
        column = rows.column(name)
        if not (pa.types.is_large_string(column.type) or pa.types.is_null(column.type)):
            raise InputError(
                f"the column {name!r} holds {column.type}, not text", where=rows.name, do="set data.columns.text"
            )
        if pa.types.is_null(column.type):
            blank = np.ones(len(rows), bool)
        else:
            trimmed = pc.utf8_trim_whitespace(column)
            blank = _true(pc.fill_null(pc.equal(trimmed, pa.scalar("", pa.large_string())), True))
        for row in np.flatnonzero(blank):
            reasons.setdefault(int(row), f"the text {name!r} is empty" if len(names) > 1 else "the text is empty")
    return reasons


def _image_problems(rows: Rows, name: str) -> dict[int, str]:
    content, path = image_columns(rows, name)
    lengths = content if pa.types.is_null(content.type) else pc.binary_length(content)
    empty = _true(pc.fill_null(pc.equal(lengths.cast(pa.int64()), 0), False))
    reasons = {int(row): "the image is empty" for row in np.flatnonzero(empty)}
    for row in np.flatnonzero(_true(content.is_null())):
        named = path[int(row)].as_py()
        if not named:
            reasons[int(row)] = "there is no image"
        elif not os.path.isfile(image_path(rows, named)):
            reasons[int(row)] = "the file of the image does not exist"
    return reasons


def _true(column: pa.ChunkedArray) -> Bool[np.ndarray, " rows"]:
    return column.to_numpy() if len(column) else np.zeros(0, bool)
