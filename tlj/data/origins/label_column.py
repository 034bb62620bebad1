"""The label column of tables: its different values, the splits that have none, and what the task makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from tlj.data.origins.label_numbers import read_numbers
from tlj.data.origins.label_sets import members_of, number_sets
from tlj.data.origins.labels import Numbered, number_labels, unlabelled_parts
from tlj.data.origins.rows import Rows
from tlj.data.settings import DataSettings
from tlj.errors import InputError

Values = list[Any]
Codes = Int[np.ndarray, " examples"]


def distinct_labels(tables: Sequence[Rows], label: str, settings: DataSettings) -> tuple[Values, Codes]:
    """Returns the different values of the label column, and which of them every row has.

    Args:
      tables: rows of every file.
      label: the column.
      settings: of the data.

    Raises:
      InputError: for a column that makes no labels.
    """
    columns, where = [rows.column(label) for rows in tables], settings.source
    nested = [column for column in columns if pa.types.is_nested(column.type)]
    if nested and settings.task == "multilabel":
        return _distinct_lists(columns)
    for column in nested:
        do = "give one label a row, or set config.task to multilabel"
        raise InputError(f"the column {label!r} holds {column.type}", where=where, do=do)
    kinds = {column.type for column in columns if not pa.types.is_null(column.type)}
    kind = kinds.pop() if len(kinds) == 1 else pa.large_string()
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    try:
        chunks = [chunk for column in columns for chunk in column.cast(kind).chunks]
        whole = pa.chunked_array(chunks, kind).combine_chunks().dictionary_encode(null_encoding="encode")
    except pa.ArrowException:
        what = f"the column {label!r} holds {kind}, which makes no labels"
        raise InputError(what, where=where, do="give names or whole numbers") from None
    return whole.dictionary.to_pylist(), whole.indices.to_numpy()


def _distinct_lists(columns: Sequence[pa.ChunkedArray]) -> tuple[Values, Codes]:
    code_of: dict[str, int] = {}
    values, codes = [], []
    for value in (value for column in columns for value in column.to_pylist()):
        key = repr(value)
        if key not in code_of:
            code_of[key] = len(values)
            values.append(value)
        codes.append(code_of[key])
    return values, np.array(codes, int)


def parts_without_labels(
    values: Sequence[Any], codes: Codes, parts: Mapping[str, Int[np.ndarray, " part"]], task: str
) -> tuple[str, ...]:
    """Returns the splits without labels (``unlabelled_parts``); one whose sets are all empty has none.

    Args:
      values: of ``distinct_labels``.
      codes: of ``distinct_labels``.
      parts: indices of every split, by name.
      task: of the data.
    """
    if task == "multilabel":
        values = [value if members_of(value) else None for value in values]
    return unlabelled_parts(values, codes, parts)


def read_labels(
    values: Sequence[Any],
    codes: Codes,
    parts: Mapping[str, Int[np.ndarray, " part"]],
    settings: DataSettings,
    own: tuple[str, ...],
) -> Numbered:
    """Returns the labels as the task wants them: classes, sets or numbers.

    Args:
      values: of ``distinct_labels``.
      codes: of ``distinct_labels``.
      parts: indices of every split, by name.
      settings: of the data.
      own: names of the classes, where the tables have them; numbers have no use for them.

    Raises:
      InputError: for classes that do not fit.
    """
    if settings.task == "regression":
        return read_numbers(values, codes)
    number = number_sets if settings.task == "multilabel" else number_labels
    return number(values, codes, parts, settings, own, settings.source)
