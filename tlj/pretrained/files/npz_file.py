"""Arrays of npz files, each read when it is asked for; pickles are refused, not opened."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import pathlib
import zipfile

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from tlj.errors import InputError
from tlj.pretrained.files.stored import StoredArray
from tlj.pretrained.files.weight_file import AGAIN, DTYPES, malformed, quoted, stored_bytes, weight_file_size

_malformed = functools.partial(malformed, kind="an npz file", is_zip=True)
_SUFFIX = ".npy"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Deflate makes a byte of at most so many: what claims more is not allocated.
_MOST_PER_BYTE = 1032
_PIECE = 1 << 20
_LONGEST_HEADER = 1 << 16


def open_npz(path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Returns the arrays of an npz file by the names they were saved under; no value is read.

    The file stays open for as long as one of them is kept.

    Args:
      path: of the file.

    Raises:
      InputError: where it is not an npz file, is cut short, holds anything but arrays of numbers, or holds an array
        that is not as large as its header says.
    """
    path = pathlib.Path(path)
    size = weight_file_size(path)
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # the zipfile module lets errors of every kind out of a malformed file
        raise _malformed(path, reason=error) from error
    members = archive.infolist()
    # Members that share their bytes are how a small file unpacks to an endless one.
    if sum(member.compress_size for member in members) > size:
        raise _malformed(path, reason="its members claim more bytes than the file has")
    found: dict[str, StoredArray] = {}
    for member in members:
        name = member.filename.removesuffix(_SUFFIX)
        if name == member.filename:
            what = f"holds {quoted(name)}, which is not an array and is not opened"
            raise InputError(what, where=str(path), do="save arrays of numbers alone, by numpy.savez")
        if name in found:
            raise _malformed(path, reason=f"{quoted(name)} is there twice")
        found[name] = _stored(path, name, archive, member)
    return found


def _stored(path: pathlib.Path, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StoredArray:
    if member.compress_type not in _WAYS or member.file_size > max(member.compress_size, 1) * _MOST_PER_BYTE:
        raise _malformed(path, reason=f"{quoted(name)} is packed in a way that numpy.savez does not use")
    try:
        with archive.open(member) as stream:
            head = io.BytesIO(stream.read(_LONGEST_HEADER))
        version = npy.read_magic(head)
        if version not in _HEADERS:
            raise ValueError(f"version {version} of the array format is for records, which are not supported")
        shape, is_transposed, dtype = _HEADERS[version](head)
    except Exception as error:  # as above, and NumPy reads the header as Python's literals
        raise _malformed(path, reason=f"{quoted(name)}: {error}") from error
    native, start = _native(path, name, dtype), head.tell()
    if start + stored_bytes(path, name, shape, dtype) != member.file_size:
        what = f"{quoted(name)} has {member.file_size - start} bytes, too many or too few for the shape {shape}"
        raise _malformed(path, reason=what)
    values = _Values(archive, member, start, shape[::-1] if is_transposed else shape, dtype)

    def read() -> Shaped[np.ndarray, "..."]:
        try:
            stored = values.read()
        except Exception as error:  # as in open_npz
            raise InputError(f"array {quoted(name)} cannot be read: {error}", where=str(path), do=AGAIN) from error
        found = stored.view(native) if dtype.kind == "V" else stored.astype(native, copy=False)
        return found.T if is_transposed else found

    return StoredArray(name, shape, native, read)


def _native(path: pathlib.Path, name: str, dtype: np.dtype) -> np.dtype:
    """The type in this machine's order of bytes."""
    if dtype.hasobject:
        what = f"{quoted(name)} is an array of objects: a pickle inside, which can run code and is not opened"
        raise InputError(what, where=str(path), do="save arrays of numbers alone")
    # NumPy saves bfloat16, which it does not know, as two bytes without a meaning.
    found = "bfloat16" if dtype == np.dtype("V2") else dtype.name
    if found not in DTYPES or dtype.fields or dtype.subdtype:
        what = f"{quoted(name)} holds {quoted(str(dtype))}, which is not supported"
        raise InputError(what, where=str(path), do="save arrays of numbers alone")
    return DTYPES[found]


@dataclasses.dataclass(frozen=True)
class _Values:
    """The values of a member, which start after its header."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> Shaped[np.ndarray, "..."]:
        values = np.empty(self.shape, self.dtype)
        target, filled = memoryview(values.reshape(-1).view(np.uint8)), 0
        with self.archive.open(self.member) as stream:
            stream.read(self.start)
            # The end of the member has to be reached: the checksum is compared there.
            while piece := stream.read(_PIECE):
                target[filled : filled + len(piece)] = piece
                filled += len(piece)
        if filled != len(target):
            raise EOFError("it is cut short")
        return values
