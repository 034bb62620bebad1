"""Tables: ``csv:PATH``, ``tsv:PATH``, ``jsonl:PATH`` and ``parquet:PATH``."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from tlj.data.examples import Examples
from tlj.data.origins.columns import Columns, choose_columns, require_column
from tlj.data.origins.json_lines import keys_of, read_json_lines
from tlj.data.origins.parquet import class_names, read_parquet, schema_of
from tlj.data.origins.rows import Rows
from tlj.data.origins.separated import CSV, TSV, header_of, read_separated
from tlj.data.origins.table_examples import table_examples
from tlj.data.origins.table_files import table_files
from tlj.data.settings import DataSettings, Problems
from tlj.errors import InputError

_DIALECTS = {"csv": CSV, "tsv": TSV}


def open_table(settings: DataSettings, argument: str) -> Examples:
    """Opens a table: one file, or a folder whose files are splits by name.

    Args:
      settings: its source begins with ``csv``, ``tsv``, ``jsonl`` or ``parquet``.
      argument: the path.

    Raises:
      InputError: for a table that cannot be read, and for an example that cannot where such are errors.
    """
    kind = settings.source.partition(":")[0]
    files = table_files(argument, kind)
    problems = Problems(settings)
    # A test split may lack the labels, so the training split tells the columns.
    leading = next((file for part, file in files if part == "train"), files[0][1])
    columns = choose_columns(_names(kind, leading), settings, str(leading))
    lists = columns.label if settings.task == "multilabel" else ""
    tables = [_read(kind, part, file, columns, problems, lists) for part, file in files]
    return table_examples(
        tables, columns, settings, problems, _classes(files, columns.label) if kind == "parquet" else ()
    )


def _names(kind: str, file: pathlib.Path) -> list[str]:
    if kind == "parquet":
        return schema_of(file).names
    return keys_of(file) if kind == "jsonl" else header_of(file, _DIALECTS[kind])


def _read(kind: str, part: str, file: pathlib.Path, columns: Columns, problems: Problems, lists: str) -> Rows:
    names = _names(kind, file)
    for name in columns.content:
        require_column(name, names, str(file), columns.content_key)
    held = [name for name in columns.names if name in names]
    if kind == "parquet":
        return read_parquet(file, part, held, columns.image)
    if kind == "jsonl":
        return read_json_lines(file, part, columns.names, columns.content, problems, lists)
    return read_separated(file, part, held, problems, _DIALECTS[kind])


def _classes(files: Sequence[tuple[str, pathlib.Path]], label: str) -> tuple[str, ...]:
    """The class names in the files, which must agree."""
    first, *others = [(file, class_names(schema_of(file), label)) for _, file in files]
    for file, names in others:
        if names != first[1]:
            raise InputError(
                f"names its classes {list(names)[:5]}, and {first[0].name} {list(first[1])[:5]}",
                where=str(file),
                do="write both with the same class names",
            )
    return first[1]
