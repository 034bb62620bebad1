"""The tokens of a data set, and the file that keeps them: ``.npy`` arrays, one after the other, and a checksum."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import zlib
from typing import BinaryIO

import numpy as np
from jaxtyping import Int, UInt8

# What the file below holds; another layout needs another number.
VERSION = 1
# Where the checksum starts, so that no file of another kind has the right one.
_START, _CHECKSUM_BYTES = zlib.crc32(f"tlj tokens {VERSION}".encode()), 4


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """The token ids of every example, special tokens included and cut to a greatest length.

    Attributes:
      ids: of all examples, one example after the other; uint16 where every id fits, else int32.
      offsets: where in ``ids`` each example begins, and where the last one ends.
      second: tokens of each example before its second segment; all of them where there is none.
      whole: tokens that each example had before it was cut.
      pairs: whether examples are two texts.
      vocabulary: every id is below it.
    """

    ids: Int[np.ndarray, " tokens"]
    offsets: Int[np.ndarray, " examples+1"]
    second: Int[np.ndarray, " examples"]
    whole: Int[np.ndarray, " examples"]
    pairs: bool
    vocabulary: int

    @functools.cached_property
    def lengths(self) -> Int[np.ndarray, " examples"]:
        """Tokens of every example."""
        return np.diff(self.offsets)

    @property
    def truncated(self) -> float:
        """Share of the examples that were cut."""
        return float(np.mean(self.whole > self.lengths))


def write_tokens(tokens: Tokens, file: pathlib.Path) -> None:
    """Writes tokens to a file.

    Args:
      tokens: to be kept.
      file: its path.
    """
    facts = np.array([tokens.pairs, tokens.vocabulary], np.int64)
    with file.open("wb") as opened:
        for array in (facts, tokens.offsets, tokens.second, tokens.whole, tokens.ids):
            np.lib.format.write_array(opened, array, version=(1, 0), allow_pickle=False)
    checksum = _checksum(np.memmap(file, np.uint8, "r"))
    with file.open("ab") as opened:
        opened.write(checksum)


def read_tokens(file: pathlib.Path, examples: int) -> Tokens | None:
    """Returns the tokens that a file holds, mapped into memory; None where it is absent, broken or of other data.

    Args:
      file: that ``write_tokens`` wrote.
      examples: how many it must hold.
    """
    # A file without a byte is a ValueError.
    with contextlib.suppress(OSError, ValueError), file.open("rb") as opened:
        content = np.memmap(opened, np.uint8, "r")
        # Before anything is parsed: a broken header can fail in many ways.
        if content[-_CHECKSUM_BYTES:].tobytes() != _checksum(content[:-_CHECKSUM_BYTES]):
            return None
        opened.seek(0)
        (pairs, vocabulary), offsets, second, whole, ids = (_mapped_array(opened, file) for _ in range(5))
        if len(offsets) == examples + 1:
            return Tokens(ids, offsets, second, whole, bool(pairs), int(vocabulary))
    return None


def _mapped_array(opened: BinaryIO, file: pathlib.Path) -> Int[np.ndarray, " items"]:
    """The next array of an open file, which is left at its end."""
    np.lib.format.read_magic(opened)
    shape, _, dtype = np.lib.format.read_array_header_1_0(opened)
    mapped = np.memmap(file, dtype, "r", opened.tell(), shape)
    opened.seek(mapped.nbytes, 1)
    # Fancy indexing of the subclass is several times as slow.
    return np.asarray(mapped)


def _checksum(content: UInt8[np.ndarray, " bytes"]) -> bytes:
    return zlib.crc32(content, _START).to_bytes(_CHECKSUM_BYTES, "little")
