"""The files of an export, each written by a function of its own, and a directory that is there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped
from safetensors import SafetensorError
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
    """Refuses a directory that cannot be made, holds something already, or is where a run looks for its checkpoints.

    Nothing is made.

    Raises:
      InputError: saying which of these it is.
    """
    # Unlike the method of a Path, this takes a name that is too long for a file for one that is not there.
    places = (directory.absolute(), *directory.absolute().parents)
    existing = next(place for place in places if os.path.exists(place))
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, not a folder", where="--to", do="give another folder")
    if os.path.exists(directory) and any(directory.iterdir()):
        raise InputError(f"{directory} is not empty", where="--to", do="give a folder that is new or empty")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing} cannot be written to", where="--to", do="give another folder")
    target = pathlib.Path(os.path.realpath(directory))
    for place in (target, *target.parents):
        # A folder that has a number for its name would be taken for the checkpoint of that step.
        if place.name == "checkpoints" and (place.parent / "manifest.json").is_file():
            raise InputError(f"{directory} is among the checkpoints of a run", where="--to", do="give another folder")


def write_directory(directory: pathlib.Path, files: Mapping[str, Writer]) -> list[pathlib.Path]:
    """Writes files into a directory that appears with all of them, or not at all.

    Args:
      directory: new or empty.
      files: what writes each, by plain name.

    Returns:
      The paths of the files.

    Raises:
      InputError: for a directory that holds something or cannot be written, or a name that climbs out of it.
    """
    check_directory(directory)
    for name in files:
        if name in ("", ".", "..") or any(mark in name for mark in ("/", "\\", "\0")):
            raise InputError(f"the name {name!r} climbs out of {directory}", where="--to", do="use a plain file name")
    target = pathlib.Path(os.path.realpath(directory))
    try:
        with _parents(target), _temporary(target) as temporary:
            for name, write in files.items():
                write(temporary / name)
            _take_place(temporary, target)
    except (OSError, SafetensorError) as error:
        what = f"{directory} cannot be written ({error}), and nothing of it is kept"
        raise InputError(what, where="--to", do="make room, or give another folder") from error
    return [directory / name for name in files]


@contextlib.contextmanager
def _parents(target: pathlib.Path) -> Iterator[None]:
    """The folders above a target, which go again where it does not come to be."""
    made = [place for place in target.parents if not place.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise


@contextlib.contextmanager
def _temporary(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder to write in, which goes with all it holds."""
    # A mounted folder cannot be replaced, nor one in a folder that is another's: files can only move into these.
    is_fixed = target.is_dir() and (os.path.ismount(target) or not os.access(target.parent, os.W_OK | os.X_OK))
    temporary = (target if is_fixed else target.parent) / f".{target.name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir()
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: pathlib.Path, target: pathlib.Path) -> None:
    if temporary.parent != target:
        # A rename takes the place of an empty directory.
        os.replace(temporary, target)
        return
    moved = []
    try:
        for file in temporary.iterdir():
            moved.append(target / file.name)
            os.replace(file, target / file.name)
    except BaseException:
        for place in moved:
            place.unlink(missing_ok=True)
        raise
