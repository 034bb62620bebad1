"""The files below a folder, with what one ``stat`` each tells of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from tlj.errors import InputError

# What systems leave behind in folders; so are names that begin with a dot.
_LITTER = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir"))
_Folder = tuple[int, int]


class File(NamedTuple):
    """A file below a folder.

    Attributes:
      path: relative to the folder, with ``/``.
      size: in bytes.
      modified: time of the last change in nanoseconds.
      problem: why it cannot be read; empty where nothing is known against it.
    """

    path: str
    size: int
    modified: int
    problem: str = ""

    @property
    def depth(self) -> int:
        """Number of names in the path: 1 for a file in the folder itself."""
        return self.path.count("/") + 1


def walk(root: str, most_depth: int) -> tuple[list[File], list[str]]:
    """Returns all files and all folders below a folder, in the order of their paths.

    Hidden files and the litter of operating systems are not listed. Links are followed, except one that leads back to a
    folder that it lies in.

    Args:
      root: the folder.
      most_depth: the most names that the path of a file may have.

    Raises:
      InputError: for a folder that cannot be listed, and a file that lies deeper.
    """
    folders: list[str] = []
    above = os.stat(root)
    files = list(_below(root, "", ((above.st_dev, above.st_ino),), folders, most_depth))
    return sorted(files), sorted(folders)


def _below(folder: str, prefix: str, above: tuple[_Folder, ...], folders: list[str], most_depth: int) -> Iterator[File]:
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError as error:
        raise InputError(f"the folder cannot be listed: {error.strerror}", where=folder) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            continue
        path = prefix + entry.name
        try:
            status = entry.stat()
        except OSError as error:
            yield File(path, 0, 0, f"the file cannot be looked at: {error.strerror}")
            continue
        if not stat.S_ISDIR(status.st_mode):
            if len(above) > most_depth:
                raise InputError(
                    f"the file lies {len(above)} names deep, more than split/class/image",
                    where=entry.path,
                    do="move it, or name a folder further down",
                )
            yield File(path, status.st_size, status.st_mtime_ns, _problem(path, status))
        elif (identity := (status.st_dev, status.st_ino)) not in above:
            folders.append(path)
            yield from _below(entry.path, f"{path}/", (*above, identity), folders, most_depth)


def _problem(path: str, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe would wait for ever.
        return "it is no ordinary file"
    if not status.st_size:
        return "the file is empty"
    try:
        path.encode()
    except UnicodeEncodeError:
        # Such an id could be written to no file of a run.
        return "its name is not UTF-8"
    return ""
