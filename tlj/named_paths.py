"""Files and folders that a command names, checked before any work."""

from __future__ import annotations

import os
import pathlib

from tlj.errors import InputError, nearest_name


def named_path(text: str, where: str) -> pathlib.Path:
    """Returns a path as a user wrote it, which may not exist; ``~`` is the home folder.

    Args:
      text: the path.
      where: the key or flag that held it.

    Raises:
      InputError: for one that the system cannot look up, such as one that is too long.
    """
    # Not pathlib's expanduser, which fails for a user that does not exist.
    path = pathlib.Path(os.path.expanduser(text))
    try:
        path.exists()
    except OSError as error:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        raise InputError(f"{shown!r}: {error.strerror}", where=where, do="give another path") from None
    return path


def check_workdir(workdir: str, verb: str) -> None:
    """Checks that a verb has a workdir and that it can be made or written to; nothing is made."""
    if not workdir:
        raise InputError("no workdir", where=verb, do="give --workdir=DIR, the folder of the run files")
    check_folder(named_path(workdir, "--workdir"), "--workdir")


def check_folder(folder: pathlib.Path, flag: str) -> None:
    """Checks that a folder can be made or written to; nothing is made."""
    path = folder.absolute()
    existing = next(place for place in (path, *path.parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, not a folder", where=flag, do="give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing} cannot be written to", where=flag, do="give another folder")


def check_file(path: pathlib.Path, flag: str) -> None:
    """Checks that a file can be written; nothing is."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"no folder {folder}", where=flag, do="make it, or give a file elsewhere")
    if path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written", where=flag, do="give another file")


def existing_folder(folder: pathlib.Path, verb: str) -> pathlib.Path:
    """Returns a folder that is there, or raises the error that names the nearest one."""
    folder = named_path(str(folder), verb)
    if folder.is_dir():
        return folder
    siblings = [place.name for place in folder.parent.iterdir() if place.is_dir()] if folder.parent.is_dir() else []
    near = nearest_name(folder.name, siblings)
    raise InputError(
        "a file, not a folder" if folder.exists() else "no such folder",
        where=str(folder),
        nearest=str(folder.parent / near) if near else None,
        do=f"see `tlj {verb} --help`",
    )
