"""Tables of one JSON object a line.

Python reads them, not Arrow, which takes a text like 2020-01-01 for a time and cannot name the line it stumbles over.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tlj.data.origins.rows import InMemory, Rows
from tlj.data.settings import Problems
from tlj.errors import InputError


def keys_of(file: pathlib.Path) -> list[str]:
    """Returns the keys of the first line that is an object; what comes before it is for the reader of rows to tell.

    Raises:
      InputError: for a file without one.
    """
    problem = "is empty"
    for number, line in _lines(file):
        try:
            return list(_object(line))
        except ValueError as error:
            problem = f"row {number} {error}" if problem == "is empty" else problem
    raise InputError(problem, where=str(file), do="give a file with a JSON object a line")


def read_json_lines(
    file: pathlib.Path, part: str, names: Sequence[str], content: Sequence[str], problems: Problems, lists: str = ""
) -> Rows:
    """Returns columns of a file as text; a line that is no object, or lacks its content, goes to ``problems``.

    Args:
      file: to be read.
      part: the split that it is.
      names: of the columns; a value is missing where an object has no such key.
      content: those of them that must hold text.
      problems: of the data set.
      lists: the column that may hold lists, which stay JSON; empty for none.
    """
    columns: dict[str, list[Any]] = {name: [] for name in names}
    numbers, kept = [], []
    for row, (number, line) in enumerate(_lines(file)):
        numbers.append(number)
        try:
            values = _object(line)
            for name in names:
                _check(name, values.get(name), name in content, name == lists)
        except ValueError as error:
            problems.add(f"{file.name}, row {number}", str(error), "mend the line")
            continue
        kept.append(row)
        for name in names:
            columns[name].append(values.get(name))
    table = pa.table({name: _column(values) for name, values in columns.items()})
    lines = functools.partial(np.asarray, numbers)
    return Rows(file.name, part, InMemory(table), file.parent, np.array(kept, np.int64), lines)


def _lines(file: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not line.isspace():
                    yield number, line
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file), do="check the file") from None


def _object(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.colno}") from None
    except RecursionError:
        raise ValueError("is not JSON that can be read: it is nested too deeply") from None
    except ValueError:
        raise ValueError("is not JSON that can be read: a number has too many digits") from None
    if not isinstance(values, dict):
        raise ValueError(f"is a JSON {type(values).__name__}, not an object")
    return values


def _check(name: str, value: Any, is_content: bool, may_be_list: bool) -> None:
    if is_content and not isinstance(value, str):
        raise ValueError(f"{name!r} is missing" if value is None else f"{name!r} is {json.dumps(value)[:40]}, not text")
    if isinstance(value, dict) or (isinstance(value, list) and not may_be_list):
        raise ValueError(f"{name!r} is {json.dumps(value)[:40]}, not one value")
    if any(map(_has_half_a_pair, value if isinstance(value, list) else (value,))):
        raise ValueError(f"{name!r} has half a surrogate pair, which is no text")


def _has_half_a_pair(value: Any) -> bool:
    is_plain = not isinstance(value, str) or value.isascii()
    return not is_plain and any("\ud800" <= letter <= "\udfff" for letter in value)


def _column(values: list[Any]) -> pa.Array:
    # Labels may be numbers in one row and names in the next: JSON's own spelling makes text of both.
    return pa.array([_written(value) for value in values], pa.large_string())


def _written(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
