"""Which images of a source can be decoded: found out once, before training, and kept."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import pathlib
from collections.abc import Iterator

from tlj.data.cache import cache_folder, keep
from tlj.data.decode import decode
from tlj.data.examples import Examples, Items
from tlj.data.settings import DataSettings, Problems, Skipped
from tlj.data.sources import Source
from tlj.data.threads import thread_count
from tlj.errors import InputError

# Part of the name of what is kept: raise it when the decoder comes to accept other files.
_DECODER = 1
_SHARE = 64


def readable(source: Examples, settings: DataSettings) -> Examples:
    """Returns the source without the images that cannot be decoded, where such are to be left out.

    With ``on_error="raise"`` the source is returned as it is: opening it reads no image (``check_readable`` does).

    Args:
      source: of any kind; text is returned as it is.
      settings: what becomes of what cannot be read, and how much may be left out.

    Raises:
      InputError: when more would be left out than may be, what the source left out itself counted in, or all of it.
    """
    if source.kind != "images" or settings.on_error == "raise":
        return source
    found = _found(source, settings)
    if len(found) == len(source.labels):
        raise InputError("not one image can be read", where=source.name, do="mend the data")
    return source.without({index: Skipped(source.items.where(index), reason) for index, reason in found.items()})


def check_readable(source: Source, settings: DataSettings) -> None:
    """Decodes every image of a source once, at the smallest scale, so that none stops a run halfway; remembered.

    Args:
      source: of any kind; there is nothing to do for text, or for what has been opened with ``on_error="skip"``.
      settings: of the source.

    Raises:
      InputError: for the first image that cannot be decoded.
    """
    if isinstance(source, Examples) and source.kind == "images" and settings.on_error == "raise":
        _found(source, settings)


def _found(source: Examples, settings: DataSettings) -> dict[int, str]:
    """The images that cannot be decoded, by index, with the reason; InputError as ``Problems`` has it."""
    problems = Problems(settings)
    problems.skipped.extend(source.skipped)
    file = cache_folder("readable") / f"{_key(source)}.json"
    known = _load(file, len(source.labels))
    found: dict[int, str] = {}
    for index, reason in _unreadable(source.items) if known is None else sorted(known.items()):
        problems.add(source.items.where(index), reason, "mend or remove it")
        found[index] = reason
    if known is None:
        keep(file, lambda path: path.write_text(json.dumps({"unreadable": found})))
    return found


def _key(source: Examples) -> str:
    content = hashlib.sha256(f"{_DECODER} {source.digest} {len(source.ids)}".encode())
    for name in source.ids:
        content.update(f"\n{name}".encode())
    return content.hexdigest()[:32]


def _load(file: pathlib.Path, examples: int) -> dict[int, str] | None:
    """What was found before, or None where nothing that makes sense was kept."""
    try:
        known = {int(index): str(reason) for index, reason in json.loads(file.read_bytes())["unreadable"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return known if all(0 <= index < examples for index in known) else None


def _unreadable(items: Items) -> Iterator[tuple[int, str]]:
    """Index and reason of each image that cannot be decoded, in order."""

    def of(begin: int) -> list[tuple[int, str]]:
        return [
            (index, reason)
            for index in range(begin, min(begin + _SHARE, len(items)))
            if (reason := _reason(items, index)) is not None
        ]

    pool = concurrent.futures.ThreadPoolExecutor(thread_count())
    try:
        for found in pool.map(of, range(0, len(items), _SHARE)):
            yield from found
    finally:
        # When there are too many, the rest need not be looked at.
        pool.shutdown(cancel_futures=True)


def _reason(items: Items, index: int) -> str | None:
    try:
        item = items[index]
        if isinstance(item, bytes):
            # The smallest scale: all of a file is read at any.
            decode(item, items.where(index), lambda edges: (1, 1))
    except InputError as error:
        return error.what
    return None
