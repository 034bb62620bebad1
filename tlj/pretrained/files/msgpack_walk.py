"""The tree of a msgpack file of Flax with the places of its arrays; the bytes of the arrays are skipped, not read."""

from __future__ import annotations

import dataclasses
from typing import Any, BinaryIO

import msgpack

from tlj.pretrained.files.weight_file import quoted

# Flax's own types of values (flax.serialization): an array, and a NumPy scalar, which is written as an array too.
_ARRAY, _SCALAR = 1, 3
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_SIZED_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_SIZED_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_NUMBERS = {0xC2, 0xC3, *range(0xCA, 0xD4), *range(0x00, 0x80), *range(0xE0, 0x100)}

_DEEPEST = 64
_MOST_ENTRIES = 1_000_000
# Of a key, and of what is told of an array before its bytes.
_LONGEST_WORDS = 4096


@dataclasses.dataclass(frozen=True)
class ArrayPlace:
    """Where an array lies in the file.

    Attributes:
      shape: as the file tells it; a number of it may be negative or absurd.
      dtype: its name as the file tells it.
      offset: of the first byte of the values.
      length: of the values in bytes, all of which lie inside the file.
    """

    shape: tuple[int, ...]
    dtype: str
    offset: int
    length: int


def walk_msgpack(file: BinaryIO, size: int) -> dict[str, Any]:
    """Returns the nested maps of a file, with an ``ArrayPlace`` for each array and plain numbers as they are.

    Args:
      file: open for reading bytes.
      size: of the file in bytes.

    Raises:
      ValueError: where the file is not a map of arrays, or is cut short.
    """
    walk = _Walk(file, size)
    tree = walk.map("", 0)
    if walk.position != size:
        raise ValueError(f"{size - walk.position} bytes follow the end")
    return tree


class _Walk:
    """A position in the file. msgpack's Unpacker reads what is small; it would buffer an array whole, to skip it."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size, self.position, self.entries = file, size, 0, 0

    def peek(self, length: int) -> bytes:
        self.file.seek(self.position)
        return self.file.read(length)

    def first_byte(self) -> int:
        if self.position >= self.size:
            raise ValueError("the file is cut short")
        return self.peek(1)[0]

    def number(self, length: int) -> int:
        """An unsigned number of so many bytes."""
        if self.position + length > self.size:
            raise ValueError("the file is cut short")
        found = int.from_bytes(self.peek(length), "big")
        self.position += length
        return found

    def small(self, what: str = "unpack") -> Any:
        """What a method of the Unpacker returns for the bytes here; a value that is not small is refused."""
        # The limits hold for every level of what is unpacked, so nothing large is ever made.
        unpacker = msgpack.Unpacker(max_buffer_size=_LONGEST_WORDS)
        unpacker.feed(self.peek(_LONGEST_WORDS))
        try:
            found = getattr(unpacker, what)()
        except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"byte {self.position} is not what should be there ({error})") from error
        self.position += unpacker.tell()
        if self.position > self.size:
            raise ValueError("the file is cut short")
        return found

    def map(self, name: str, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise ValueError(f"maps lie in maps more than {_DEEPEST} deep")
        first = self.first_byte()
        if not (first & 0xF0 == 0x80 or first in (0xDE, 0xDF)):
            raise ValueError(f"{quoted(name) if name else 'it'} is not a map of names to arrays")
        length = self.small("read_map_header")
        self.entries += length
        # An entry has two bytes at least.
        if 2 * length > self.size - self.position or self.entries > _MOST_ENTRIES:
            raise ValueError(f"a map tells of {length} entries, more than there can be")
        tree: dict[str, Any] = {}
        for _ in range(length):
            key = self.small()
            if not isinstance(key, str) or key in tree:
                raise ValueError(f"a key in {quoted(name)} is not a name, or is there twice")
            tree[key] = self.value(f"{name}/{key}" if name else key, depth + 1)
        return tree

    def value(self, name: str, depth: int) -> Any:
        first = self.first_byte()
        if first & 0xF0 == 0x80 or first in (0xDE, 0xDF):
            return self.map(name, depth)
        if first in _FIXED_EXTENSIONS or first in _SIZED_EXTENSIONS:
            return self.array(name, first)
        if first in _NUMBERS:
            return self.small()
        raise ValueError(f"{quoted(name)} is neither an array nor a number")

    def array(self, name: str, first: int) -> ArrayPlace:
        self.position += 1
        length = _FIXED_EXTENSIONS.get(first) or self.number(_SIZED_EXTENSIONS[first])
        kind = self.number(1)
        end = self.position + length
        if kind not in (_ARRAY, _SCALAR) or end > self.size:
            what = "reaches beyond the end of the file" if end > self.size else "is a value of another type"
            raise ValueError(f"{quoted(name)} {what}")
        parts, shape, dtype, code = self.small("read_array_header"), self.small(), self.small(), self.first_byte()
        self.position += 1
        has_shape = isinstance(shape, list) and all(type(length) is int for length in shape)
        is_array = parts == 3 and has_shape and isinstance(dtype, str) and code in _SIZED_BYTES
        values = self.number(_SIZED_BYTES[code]) if is_array else 0
        if not is_array or self.position + values != end:
            raise ValueError(f"{quoted(name)} is not an array as Flax writes it")
        offset, self.position = self.position, end
        return ArrayPlace(tuple(shape), dtype, offset, values)
