"""What the files of a checkpoint were when it was written, so that damage is found before anything is read from them.

Orbax itself loads a checkpoint whose metadata are gone, and takes a changed byte of an array for another number
(measured, 0.12.8); where it does notice, its background threads print several screens.
"""

from __future__ import annotations

import json
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

INVENTORY = "inventory.json"
# Orbax writes these two at the very end, after the inventory, so they are checked by what they say.
MARK, _COMMITTED = "_CHECKPOINT_METADATA", "commit_success.txt"
_BLOCK = 1 << 22


def take_inventory(folder: pathlib.Path, metadata: Mapping[str, Any]) -> None:
    """Writes the size and the checksum of every file of a checkpoint into it.

    Args:
      folder: of the checkpoint, all of it written but for what Orbax adds when it commits.
      metadata: its custom metadata, as JSON holds them.
    """
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in (MARK, INVENTORY))
    files = {path.relative_to(folder).as_posix(): (path.stat().st_size, _checksum(path)) for path in sorted(found)}
    (folder / INVENTORY).write_text(json.dumps({"metadata": _metadata_checksum(metadata), "files": files}))


def find_damage(folder: pathlib.Path) -> str:
    """Returns what is wrong with the files of a checkpoint, in a few words; empty where they are as they were written.

    Args:
      folder: of the checkpoint.
    """
    try:
        told = json.loads((folder / INVENTORY).read_text())
        files = {name: (size, checksum) for name, (size, checksum) in told["files"].items()}
        metadata = told["metadata"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{INVENTORY} is missing or cannot be read"
    said = read_metadata(folder)
    if said is None or _metadata_checksum(said) != metadata:
        return f"{MARK} is missing or not as it was written"
    if not _is_committed(folder):
        return f"{_COMMITTED} is missing or not as it was written"
    return next(filter(None, (_file_damage(folder, name, *kept) for name, kept in files.items())), "")


def _is_committed(folder: pathlib.Path) -> bool:
    """Whether the file that says so is whole: it ends in the step, which the name of a copy need not tell."""
    try:
        said = (folder / _COMMITTED).read_text()
    except (OSError, ValueError):
        return False
    return said.endswith(f"/{folder.name}") if folder.name.isdecimal() else bool(said)


def _file_damage(folder: pathlib.Path, name: str, size: int, checksum: int) -> str:
    path = folder / name
    try:
        if not path.is_file():
            return f"{name} is missing"
        if (found := path.stat().st_size) != size:
            return f"{name} has {found} bytes, not {size}"
        return "" if _checksum(path) == checksum else f"{name} is not as it was written"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"


def read_metadata(folder: pathlib.Path) -> dict[str, Any] | None:
    """Returns the custom metadata of a checkpoint, as ``ocp.metadata`` would; None where they cannot be read."""
    try:
        said = json.loads((folder / MARK).read_text())["custom_metadata"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, dict) else None


def _metadata_checksum(metadata: Mapping[str, Any]) -> int:
    # Read back from JSON first: a key that is a number becomes a text there.
    return zlib.crc32(json.dumps(json.loads(json.dumps(metadata)), sort_keys=True).encode())


def _checksum(path: pathlib.Path) -> int:
    # The fastest of the standard library, which lets other threads run meanwhile; nobody is to be kept from forging.
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value
