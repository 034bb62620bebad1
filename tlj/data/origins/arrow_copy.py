"""Tables kept in the cache as Arrow files: mapped, so that any row is one read away and memory holds none of them."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from tlj.data.cache import cache_folder, keep

_VERSION = 1


def arrow_copy(made_from: object, batches: Callable[[], Iterable[pa.RecordBatch]]) -> pa.Table | None:
    """Returns a table from the cache, put there first where it is not.

    Args:
      made_from: all that decides the content, with a ``repr`` that says so.
      batches: reads the table, a part at a time: the whole may be larger than the memory.

    Returns:
      The mapped table, or None where the cache cannot be written to or there are no rows.
    """
    key = hashlib.sha256(repr((_VERSION, made_from)).encode()).hexdigest()[:32]
    file = cache_folder("tables") / f"{key}.arrow"
    if (table := _open(file)) is None and keep(file, lambda path: _write(path, iter(batches()))):
        table = _open(file)
    return table


def file_state(file: str | os.PathLike) -> tuple[str, int, int]:
    """Returns what tells one state of a file from another: where it lies, its size and when it was changed."""
    state = os.stat(file)
    return os.path.realpath(file), state.st_size, state.st_mtime_ns


def _open(file: pathlib.Path) -> pa.Table | None:
    try:
        return pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    except (OSError, pa.ArrowException):
        return None


def _write(path: pathlib.Path, batches: Iterator[pa.RecordBatch]) -> None:
    first = next(batches, None)
    if first is None:
        raise OSError("there is nothing to keep")
    with pa.ipc.new_file(str(path), first.schema) as sink:
        sink.write_batch(first)
        for batch in batches:
            sink.write_batch(batch)
