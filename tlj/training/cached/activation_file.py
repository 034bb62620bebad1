"""Activations by row in a sparse file that is mapped into memory, beside a checksum of every row that is there.

A row is written once, then its checksum: whatever a kill or a full disk leaves, a row without the right checksum is not
there, and is made again. Rows of other examples can be added at any time; where nothing is written, no disk is taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import threading
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from tlj.data.cache import keep

# What the files below hold; another layout needs another number.
VERSION = 1
_ROWS, _CHECKSUMS, _FACTS, _LOCK = "rows.raw", "checksums.raw", "facts.json", "lock"


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Where rows lie: each is a number of items of one shape.

    Attributes:
      shape: of an item.
      items: of every row; None where all rows have one.
      rows: how many rows there are.
      dtype: ``"float32"`` or ``"bfloat16"``.
    """

    shape: tuple[int, ...]
    rows: int
    dtype: str = "float32"
    items: Int[np.ndarray, " rows"] | None = None

    @property
    def item_bytes(self) -> int:
        """Bytes of an item."""
        return int(np.prod(self.shape, dtype=np.int64)) * jnp.dtype(self.dtype).itemsize

    def bytes_of(self, rows: Int[np.ndarray, " n"]) -> int:
        """Returns the bytes that rows take."""
        count = len(rows) if self.items is None else int(self.items[rows].sum(dtype=np.int64))
        return count * self.item_bytes

    def offsets(self) -> Int[np.ndarray, " rows+1"]:
        """Returns the first item of every row, and the number of items."""
        items = np.ones(self.rows, np.int64) if self.items is None else self.items
        return np.concatenate([[0], np.cumsum(items, dtype=np.int64)])


class ActivationFile:
    """The rows of one cache; threads may share it, and processes may have it open at once.

    Args:
      folder: of the cache; made where it is missing.
      layout: of the rows.
    """

    def __init__(self, folder: pathlib.Path, layout: Layout):
        self.folder, self.layout = folder, layout
        self._open()

    def _open(self) -> None:
        self._offsets, self._thread = self.layout.offsets(), threading.RLock()
        self._sound = np.zeros(self.layout.rows, bool)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._bits = np.uint16 if self.layout.dtype == "bfloat16" else np.float32
        items = int(self._offsets[-1])
        self._items = np.asarray(self._mapped(_ROWS, self._bits, (items, *self.layout.shape)))
        self._inode = os.stat(self.folder / _ROWS).st_ino
        self._checksums = np.asarray(self._mapped(_CHECKSUMS, np.uint32, (self.layout.rows,)))

    def __getstate__(self) -> dict[str, Any]:
        # Mapped arrays would travel to another process as all they hold.
        return {"folder": self.folder, "layout": self.layout}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _mapped(self, name: str, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        """An array over a file of the right size, which is made, or mended where it was cut."""
        file, size = self.folder / name, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        with open(file, "ab") as opened:
            if opened.tell() != size:
                opened.truncate(size)
        return np.memmap(file, dtype, "r", shape=shape)

    def is_there(self) -> bool:
        """Whether the file that was opened is the one in the folder: anyone may delete what is kept."""
        try:
            return os.stat(self.folder / _ROWS).st_ino == self._inode
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other threads and processes from adding rows meanwhile: whoever waited finds them there."""
        with self._thread, open(self.folder / _LOCK, "a") as opened:
            with contextlib.suppress(ImportError, OSError):
                # Not on every platform, and not on every file system: two then do the same work twice.
                import fcntl

                fcntl.flock(opened, fcntl.LOCK_EX)
            yield

    def missing(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " missing"]:
        """Returns which of some rows are not there or are damaged; each is read once by a process to know.

        Args:
          rows: wanted.
        """
        with self._thread:
            for row in rows[~self._sound[rows]]:
                self._sound[row] = self._checksums[row] and self._checksums[row] == _checksum(self._row(row))
            return np.unique(rows[~self._sound[rows]])

    def _row(self, row: int) -> np.ndarray:
        return self._items[self._offsets[row] : self._offsets[row + 1]]

    def write(self, rows: Int[np.ndarray, " n"], values: Float[np.ndarray, "n ..."]) -> None:
        """Writes rows; of those with several items, what stands beyond their own is padding.

        Args:
          rows: distinct.
          values: float32.

        Raises:
          OSError: where the disk is full; with a mapped array this would end the process.
        """
        with open(self.folder / _ROWS, "r+b") as data, open(self.folder / _CHECKSUMS, "r+b") as checksums:
            for row, value in zip(rows, values, strict=True):
                begin, end = self._offsets[row], self._offsets[row + 1]
                own = value[None] if self.layout.items is None else value[: end - begin]
                content = np.ascontiguousarray(own.astype(jnp.dtype(self.layout.dtype))).view(self._bits)
                _write_all(data.fileno(), content, int(begin) * self.layout.item_bytes)
                _write_all(checksums.fileno(), np.array([_checksum(content)], np.uint32), int(row) * 4)
                self._sound[row] = True

    def fixed(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n ..."]:
        """Returns rows of one item each, in the type they are kept in."""
        return self._typed(self._items[rows])

    def padded(self, rows: Int[np.ndarray, " n"], length: int) -> Float[np.ndarray, "n length ..."]:
        """Returns rows of several items each, followed by zeros.

        Args:
          rows: wanted.
          length: items of each in the result, at least as many as it has.
        """
        padded = np.zeros((len(rows), length, *self.layout.shape), self._bits)
        for place, row in enumerate(rows):
            own = self._row(row)
            padded[place, : len(own)] = own
        return self._typed(padded)

    def _typed(self, values: np.ndarray) -> np.ndarray:
        return values.view(jnp.dtype(self.layout.dtype)) if self._bits == np.uint16 else values

    def bytes_on_disk(self) -> int:
        """Returns the bytes of the rows that are there, of whatever process."""
        return self.layout.bytes_of(np.flatnonzero(self._checksums))

    @property
    def facts(self) -> dict[str, float]:
        """What making the rows has cost so far, in all processes (``charge``)."""
        try:
            return json.loads((self.folder / _FACTS).read_text())
        except (OSError, ValueError):
            return {}

    def charge(self, **costs: float) -> None:
        """Adds to the facts; whoever does so is ``alone``."""
        before = self.facts
        summed = {name: before.get(name, 0) + cost for name, cost in costs.items()}
        keep(self.folder / _FACTS, lambda file: file.write_text(json.dumps(summed)))


def _checksum(content: np.ndarray) -> int:
    # Never 0, which is what a sparse file holds.
    return zlib.crc32(np.ascontiguousarray(content).view(np.uint8).reshape(-1), VERSION) or 1


def _write_all(descriptor: int, content: np.ndarray, offset: int) -> None:
    left = memoryview(np.ascontiguousarray(content).reshape(-1).view(np.uint8))
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
