"""Tables of separated values: CSV, in which a value may be quoted, and TSV as GLUE writes it, in which none is."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Int

from tlj.data.origins.rows import InMemory, Rows, decoded
from tlj.data.settings import Problems
from tlj.errors import InputError

# Bytes that Arrow reads at once: no row may be longer.
_BLOCK = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How the values of a file are separated.

    Attributes:
      kind: its name and suffix.
      delimiter: between values.
      quoted: whether a value may stand in double quotes, with the delimiter, a new line or doubled quotes in it.
    """

    kind: str
    delimiter: str
    quoted: bool


CSV, TSV = Dialect("csv", ",", True), Dialect("tsv", "\t", False)


def header_of(file: pathlib.Path, dialect: Dialect) -> list[str]:
    """Returns the names of the columns.

    Raises:
      InputError: for a file that is empty, is not UTF-8, or names a column twice.
    """
    try:
        # Only the header must be valid here: the rows are looked at one by one.
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            names = next((names for names in _reader(lines, dialect) if names), [])
        "".join(names).encode()
    except (OSError, UnicodeEncodeError, csv.Error) as error:
        what = "its header is not UTF-8" if isinstance(error, UnicodeEncodeError) else f"cannot be read: {error}"
        raise InputError(what, where=str(file), do=f"save it as {dialect.kind} in UTF-8") from None
    if not names:
        raise InputError("is empty", where=str(file), do=f"give a {dialect.kind} file with a header")
    if any("\0" in name for name in names):
        raise InputError("is no text: its header holds null bytes", where=str(file), do=f"give a {dialect.kind} file")
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(f"two columns are named {name!r}", where=str(file), do="rename one in the header")
    return names


def read_separated(file: pathlib.Path, part: str, names: list[str], problems: Problems, dialect: Dialect) -> Rows:
    """Returns columns of a file as text; a row that is not UTF-8 or as long as the header goes to ``problems``.

    Args:
      file: to be read.
      part: the split that it is.
      names: of the columns.
      problems: of the data set.
      dialect: of the file.

    Raises:
      InputError: for a file that is not of the dialect.
    """
    try:
        table, kept = _parsed(file, names, dialect), None
    except pa.ArrowInvalid:
        # Arrow stops at the first row that is not as long as the header, and cannot name one that is not UTF-8.
        table, kept = _without_ragged(file, names, dialect, problems)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot be read as {dialect.kind}: {error}", where=str(file), do="mend the file") from None
    lines = functools.partial(_lines, file, dialect)
    return decoded(Rows(file.name, part, InMemory(table), file.parent, kept, lines), names, problems)


def _parsed(file: pathlib.Path, names: list[str], dialect: Dialect) -> pa.Table:
    return pa.csv.read_csv(
        file,
        pa.csv.ReadOptions(block_size=_BLOCK),
        pa.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char='"' if dialect.quoted else False,
            double_quote=dialect.quoted,
            newlines_in_values=dialect.quoted,
        ),
        pa.csv.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False
        ),
    )


def _without_ragged(
    file: pathlib.Path, names: list[str], dialect: Dialect, problems: Problems
) -> tuple[pa.Table, Int[np.ndarray, " rows"]]:
    """The rows that are as long as the header, and their numbers; the others are told."""
    header, kept = header_of(file, dialect), []
    columns: dict[str, list[bytes]] = {name: [] for name in names}
    places = [(columns[name], header.index(name)) for name in names]
    for row, (line, values) in enumerate(_records(file, dialect)):
        if (found := len(values)) == len(header):
            kept.append(row)
            for column, place in places:
                column.append(values[place].encode("latin-1"))
            continue
        what = f"has {found} {'value' if found == 1 else 'values'}, the header {len(header)}"
        hint = " (is a quote never closed?)" if dialect.quoted and found < len(header) else ""
        problems.add(f"{file.name}, row {line}", what + hint, "mend the row")
    table = pa.table({name: pa.array(column, pa.large_binary()) for name, column in columns.items()})
    return table, np.array(kept, np.int64)


def _lines(file: pathlib.Path, dialect: Dialect) -> Int[np.ndarray, " rows"]:
    return np.array([line for line, _ in _records(file, dialect)], np.int64)


def _records(file: pathlib.Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The first line of every row below the header, and the bytes of its values as Latin-1; empty lines are no rows."""
    # Any bytes are text in Latin-1, and new lines and separators are where they are in UTF-8.
    with io.TextIOWrapper(file.open("rb"), encoding="latin-1", newline="") as text:
        reader, begin, header = _reader(text, dialect), 1, True
        try:
            for values in reader:
                if values and not header:
                    yield begin, values
                begin, header = reader.line_num + 1, header and not values
        except csv.Error as error:
            raise InputError(f"the row cannot be read: {error}", where=f"{file.name}, row {begin}") from None


def _reader(lines, dialect: Dialect):
    csv.field_size_limit(_BLOCK)
    if dialect.quoted:
        return csv.reader(lines, delimiter=dialect.delimiter)
    return csv.reader(lines, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE)
