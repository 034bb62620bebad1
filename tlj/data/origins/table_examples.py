"""A source from the rows of tables, wherever they come from, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from tlj.data.examples import Examples
from tlj.data.origins.columns import Columns
from tlj.data.origins.contents import content_problems
from tlj.data.origins.fingerprint import fingerprint
from tlj.data.origins.items import TableItems
from tlj.data.origins.label_column import distinct_labels, parts_without_labels, read_labels
from tlj.data.origins.rows import Rows, decoded
from tlj.data.settings import DataSettings, Problems, Skipped
from tlj.errors import InputError


def table_examples(
    tables: Sequence[Rows],
    columns: Columns,
    settings: DataSettings,
    problems: Problems,
    classes: tuple[str, ...] = (),
) -> Examples:
    """Returns the rows as a source; a split without labels is left out and named in its facts as ``unlabelled``.

    Args:
      tables: rows of every file, those of one split next to each other.
      columns: in use.
      settings: of the data.
      problems: of the data set; has what the reader of the tables left out already.
      classes: names of the classes, where the tables have them.

    Raises:
      InputError: for data that cannot be used, and for an example that cannot where such are errors.
    """
    textual = [name for name in columns.names if columns.kind == "text" or name != columns.image]
    tables = [decoded(rows, textual, problems) for rows in tables]
    for part, indices in _parts(tables).items():
        if not len(indices):
            name = next(rows.name for rows in tables if rows.part == part)
            raise InputError("has no rows that can be used", where=name, do="give a table with examples, or remove it")
    values, codes = distinct_labels(tables, columns.label, settings)
    unlabelled = parts_without_labels(values, codes, _parts(tables), settings.task)
    tables = [rows for rows in tables if rows.part not in unlabelled]
    if not tables:
        raise InputError("no example has a label", where=settings.source, do="give another data.columns.label")
    values, codes = distinct_labels(tables, columns.label, settings)
    parts = _parts(tables)
    numbered = read_labels(values, codes, parts, settings, classes)
    reasons = {**content_problems(tables, columns), **numbered.reasons}
    groups = _texts(tables, columns.group, "group", reasons)
    ids = _texts(tables, columns.id, "id", reasons) if columns.id else _made_ids(tables)
    items = TableItems(tuple(tables), columns.content, columns.kind)
    if columns.id:
        _check_unique(ids, columns.id, items, reasons)
    already = tuple(problems.skipped)
    left_out = _left_out(reasons, items, problems)
    print_of = fingerprint(tables, columns, numbered, (ids if columns.id else (), groups))
    examples = Examples(
        name=settings.source,
        kind=columns.kind,
        classes=numbered.classes,
        labels=numbered.labels,
        ids=ids,
        items=items,
        digest=print_of.digest,
        parts={name: part for name, part in parts.items() if name},
        groups=groups,
        skipped=already,
        facts={"columns": dataclasses.asdict(columns), "hash_of": print_of.hash_of, "unlabelled": unlabelled},
    ).without(left_out)
    if not len(examples.labels):
        raise InputError("every example was left out", where=settings.source, do="mend the data")
    return examples


def _parts(tables: Sequence[Rows]) -> dict[str, Int[np.ndarray, " part"]]:
    """The rows of every split in the order of the files."""
    found: dict[str, list[np.ndarray]] = {}
    for rows, (begin, end) in zip(tables, _stretches(tables), strict=True):
        found.setdefault(rows.part, []).append(np.arange(begin, end))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def _stretches(tables: Sequence[Rows]) -> Iterator[tuple[int, int]]:
    end = 0
    for rows in tables:
        begin, end = end, end + len(rows)
        yield begin, end


def _made_ids(tables: Sequence[Rows]) -> tuple[str, ...]:
    ids: list[str] = []
    for rows in tables:
        numbers = pa.array(rows.numbers).cast(pa.string())
        ids += pc.binary_join_element_wise(pa.scalar(rows.name), numbers, ":").to_pylist()
    return tuple(ids)


def _texts(tables: Sequence[Rows], name: str, what: str, reasons: dict[int, str]) -> tuple[str, ...]:
    """A column as text, empty where it is not used; a row without it gets a reason."""
    if not name:
        return ()
    texts: list[str] = []
    for rows in tables:
        column = rows.column(name)
        if pa.types.is_nested(column.type):
            raise InputError(f"the column {name!r} holds {column.type}", where=rows.name, do=f"give one {what} a row")
        try:
            texts += column.cast(pa.large_string()).fill_null("").to_pylist()
        except pa.ArrowException:
            raise InputError(f"the column {name!r} holds {column.type}, not text", where=rows.name) from None
    for row in (row for row, text in enumerate(texts) if not text):
        reasons.setdefault(row, f"the {what} is empty")
    return tuple(texts)


def _check_unique(ids: Sequence[str], name: str, items: TableItems, reasons: Mapping[int, str]) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, int] = {}
    for row, text in enumerate(ids):
        if row not in reasons and seen.setdefault(text, row) != row:
            raise InputError(
                f"the id {text!r} is that of two examples: {items.where(seen[text])}; {items.where(row)}",
                where=f"the column {name!r}",
                do="give every example its own, or leave data.columns.id empty",
            )


def _left_out(reasons: Mapping[int, str], items: TableItems, problems: Problems) -> dict[int, Skipped]:
    for row in sorted(reasons):
        problems.add(items.where(row), reasons[row], "mend the row")
    told = problems.skipped[len(problems.skipped) - len(reasons) :]
    return dict(zip(sorted(reasons), told, strict=True))
