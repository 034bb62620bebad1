"""What files of weights have in common: the types they may hold, arrays mapped out of them, and why one is refused."""

from __future__ import annotations

import math
import pathlib
import re
import stat
from collections.abc import Sequence

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

from tlj.errors import InputError

AGAIN = "get the checkpoint again"

_FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu")
_NUMPY = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
# By name, so that nothing a file says reaches NumPy's own reader of types, which knows objects and records.
DTYPES = {name: np.dtype(name) for name in _NUMPY} | {
    name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", *_FLOAT8)
}

_MOST_AXES = 32
_MOST_BYTES = 2**48
_LONGEST_NAME = 120

_ZIP = b"PK\x03\x04"
# What people have at hand instead of weights, by its first bytes. The first bytes of a safetensors file are the length
# of its header, so each pattern is longer than what such a length may look like.
_MISTAKEN = (
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the file that it points to", "run `git lfs pull`"),
    (rb"(?i)\s*<(!doctype|html|head|\?xml)", "it is a web page, or another text in XML", "download the file itself"),
    (rb'\s*\{\s*"error', "it is the error message of a server", "download the file itself"),
    (rb"\x80[\x02-\x05][^\0]", "it is a pickle, which can run code and is not opened", "save it as safetensors"),
    (re.escape(_ZIP), "it is a zip archive; torch.save makes such a one around a pickle", "save it as safetensors"),
    (rb"\x1f\x8b\x08", "it is compressed with gzip", "unpack it"),
)


def quoted(name: str) -> str:
    """Returns a name that a file gives as it can be shown: control characters escaped, and cut where it is long."""
    return repr(name) if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]!r}..."


def weight_file_size(path: pathlib.Path) -> int:
    """Returns the size of a file in bytes.

    Raises:
      InputError: where it is not a file that can be read, or is empty.
    """
    try:
        # A pipe or a device would wait for somebody to write.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("not a file" if path.is_dir() else "not a plain file", where=str(path), do="name a file")
        with path.open("rb") as opened:
            size = opened.seek(0, 2)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot be read: {reason}", where=str(path), do="check the path and its permissions"
        ) from error
    if size == 0:
        raise InputError("the file is empty", where=str(path), do=AGAIN)
    return size


def malformed(path: pathlib.Path, kind: str, reason: object, *, is_zip: bool = False) -> InputError:
    """Returns the error for a file that is not of its kind, saying what it is instead where its first bytes tell.

    Args:
      path: of the file.
      kind: what it should be, for example ``"a safetensors file"``.
      reason: what is wrong with it.
      is_zip: whether a file of its kind is a zip archive.
    """
    try:
        with path.open("rb") as opened:
            start = opened.read(64)
    except OSError:
        start = b""
    for magic, what, do in _MISTAKEN:
        if re.match(magic, start) and not (is_zip and start.startswith(_ZIP)):
            return InputError(f"not {kind}: {what}", where=str(path), do=do)
    return InputError(f"not {kind} that can be read: {str(reason)[:300]}", where=str(path), do=AGAIN)


def stored_bytes(path: pathlib.Path, name: str, shape: Sequence[int], dtype: np.dtype) -> int:
    """Returns how many bytes an array of this shape takes.

    Raises:
      InputError: for a shape that no array can have.
    """
    are_sizes = all(type(size) is int and size >= 0 for size in shape) and len(shape) <= _MOST_AXES
    # NumPy counts an axis of length 0 as 1 when it asks whether an array is too big.
    if not are_sizes or math.prod(max(size, 1) for size in shape) * dtype.itemsize > _MOST_BYTES:
        what = f"array {quoted(name)} has the impossible shape {str(tuple(shape))[:_LONGEST_NAME]}"
        raise InputError(what, where=str(path), do=AGAIN)
    return math.prod(shape) * dtype.itemsize


def map_array(
    path: pathlib.Path, name: str, dtype: np.dtype, shape: tuple[int, ...], offset: int
) -> Shaped[np.ndarray, "..."]:
    """Returns a read-only view of an array in a file; its memory is given back when the last view is dropped.

    Args:
      path: of the file.
      name: of the array, for the error.
      dtype: of the array.
      shape: of the array; its values lie in C order, one after the other.
      offset: of its first byte in the file.

    Raises:
      InputError: where the file does not hold as much, or cannot be read.
    """
    length = math.prod(shape) * dtype.itemsize
    if length == 0:
        return np.empty(shape, dtype)
    try:
        # A page that lies beyond the end of a file kills the process when it is touched.
        if path.stat().st_size >= offset + length:
            return np.asarray(np.memmap(path, dtype, "r", offset, shape))
    except (OSError, ValueError) as error:
        raise InputError(f"array {quoted(name)} cannot be read: {error}", where=str(path), do=AGAIN) from error
    raise InputError(f"array {quoted(name)} lies beyond the end of the file", where=str(path), do=AGAIN)
