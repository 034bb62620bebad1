"""A hash of many files, made again only where one of them has changed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Sequence

from tlj.data.cache import cache_folder, keep
from tlj.data.origins.walk import File
from tlj.data.threads import thread_count
from tlj.errors import InputError

# More than this takes longer to read than anyone wants to wait for a data set to open.
MOST_HASHED = 2 * 2**30
_SHARE = 512


@dataclasses.dataclass(frozen=True)
class Hashed:
    """What identifies the content of a folder.

    Attributes:
      digest: in hexadecimal digits.
      hash_of: what it was made of: ``"paths and contents"``, or ``"paths and sizes"`` of much data.
    """

    digest: str
    hash_of: str


def hash_files(root: str, files: Sequence[File], most: int = MOST_HASHED) -> Hashed:
    """Returns a hash of files below a folder; the last one is kept, and holds while no path, size or time changes.

    Args:
      root: the folder.
      files: below it, in a fixed order.
      most: bytes, up to which the contents are read.

    Raises:
      InputError: for a file that cannot be read.
    """
    hash_of = "paths and contents" if sum(file.size for file in files) <= most else "paths and sizes"
    if hash_of == "paths and sizes":
        return Hashed(_digest(f"{file.path}\n{file.size}" for file in files), hash_of)
    real = os.path.realpath(root)
    kept = cache_folder("index") / f"{_digest([real])[:32]}.json"
    state = _digest(f"{file.path}\n{file.size}\n{file.modified}" for file in files)
    if (digest := _load(kept, state)) is None:
        digest = _digest(f"{file.path}\n{content}" for file, content in zip(files, _contents(root, files), strict=True))
        keep(kept, lambda path: path.write_text(json.dumps({"state": state, "digest": digest})))
    return Hashed(digest, hash_of)


def _digest(lines: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode(errors="surrogateescape") + b"\0")
    return whole.hexdigest()


def _load(kept: pathlib.Path, state: str) -> str | None:
    try:
        known = json.loads(kept.read_bytes())
        return str(known["digest"]) if known["state"] == state else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _contents(root: str, files: Sequence[File]) -> list[str]:
    """The hash of the content of each file, read in threads: a disk answers many at once."""

    def of(begin: int) -> list[str]:
        return [_content(root, file) for file in files[begin : begin + _SHARE]]

    with concurrent.futures.ThreadPoolExecutor(thread_count()) as pool:
        return [content for share in pool.map(of, range(0, len(files), _SHARE)) for content in share]


def _content(root: str, file: File) -> str:
    path = os.path.join(root, file.path)
    try:
        with open(path, "rb", buffering=0) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=path) from error
