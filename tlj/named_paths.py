"""Files and folders that a command names, checked before any work."""

from __future__ import annotations

import os
import pathlib

from tlj.errors import InputError, nearest_name


def check_workdir(workdir: str, verb: str) -> None:
    """Checks that a verb has a workdir and that it can be made or written to; nothing is made."""
    if not workdir:
        raise InputError("no workdir", where=verb, do="give --workdir=DIR, the folder of the run files")
    path = pathlib.Path(workdir).absolute()
    existing = next(place for place in (path, *path.parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, not a folder", where="--workdir", do="give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing} cannot be written to", where="--workdir", do="give another folder")


def check_file(path: pathlib.Path, flag: str) -> None:
    """Checks that a file can be written; nothing is."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"no folder {folder}", where=flag, do="make it, or give a file elsewhere")
    if path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written", where=flag, do="give another file")


def existing_folder(folder: pathlib.Path, verb: str) -> pathlib.Path:
    """Returns a folder that is there, or raises the error that names the nearest one."""
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
