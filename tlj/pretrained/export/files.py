"""The files of an export, each written by a function of its own, and a directory that is there whole or not at all."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped
from safetensors.numpy import save_file

from tlj.errors import InputError

# Writes the file at a path.
Writer = Callable[[pathlib.Path], None]


def as_text(text: str) -> Writer:
    """Returns what writes a text."""
    return lambda path: path.write_text(text, encoding="utf-8")


def as_bytes(content: bytes) -> Writer:
    """Returns what writes bytes."""
    return lambda path: path.write_bytes(content)


def as_json(content: Mapping[str, Any]) -> Writer:
    """Returns what writes a JSON object, its keys in the order they have."""
    return as_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def as_copy(file: pathlib.Path) -> Writer:
    """Returns what copies a file."""
    return lambda path: shutil.copyfile(file, path)


def as_arrays(arrays: Mapping[str, Shaped[np.ndarray, "..."]], metadata: Mapping[str, str]) -> Writer:
    """Returns what writes a safetensors file.

    Args:
      arrays: by name.
      metadata: of the file's header.
    """

    def write(path: pathlib.Path) -> None:
        save_file(dict(arrays), path, metadata=dict(metadata))
        # The library lets nobody else read it; the folder's own mode says who may.
        path.chmod(path.parent.stat().st_mode & 0o666)

    return write


def check_directory(directory: pathlib.Path) -> None:
    """Refuses a directory that cannot be made, or that holds something already; nothing is made.

    Raises:
      InputError: saying which of these it is.
    """
    existing = next(place for place in (directory.absolute(), *directory.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, not a folder", where="--to", do="give another folder")
    if directory.exists() and any(directory.iterdir()):
        raise InputError(f"{directory} is not empty", where="--to", do="give a folder that is new or empty")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing} cannot be written to", where="--to", do="give another folder")


def write_directory(directory: pathlib.Path, files: Mapping[str, Writer]) -> list[pathlib.Path]:
    """Writes files into a directory that appears with all of them, or not at all.

    Args:
      directory: new or empty.
      files: what writes each, by plain name.

    Returns:
      The paths of the files.

    Raises:
      InputError: for a directory that holds something, or a name that climbs out of it.
    """
    check_directory(directory)
    for name in files:
        if name in ("", ".", "..") or any(mark in name for mark in ("/", "\\", "\0")):
            raise InputError(f"the name {name!r} climbs out of {directory}", where="--to", do="use a plain file name")
    target = directory.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        for name, write in files.items():
            write(temporary / name)
        # A rename takes the place of an empty directory.
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return [directory / name for name in files]
