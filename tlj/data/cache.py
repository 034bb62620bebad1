"""Where what is costly to make from data is kept between processes: indices, tokens, what was found unreadable.

Everything here can be deleted at any time; its names hold hashes of all that it was made from.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

VARIABLE = "TLJ_CACHE"


def cache_folder(kind: str) -> pathlib.Path:
    """Returns the folder of one kind of kept files; it may not exist.

    It lies in ``$TLJ_CACHE``, or in ``tlj`` where the system keeps caches: ``$XDG_CACHE_HOME``, by default
    ``~/.cache``.

    Args:
      kind: for example ``"tokens"``.
    """
    if root := os.environ.get(VARIABLE):
        return pathlib.Path(os.path.expanduser(root)) / kind
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "tlj" / kind


def keep(file: pathlib.Path, write: Callable[[pathlib.Path], None]) -> bool:
    """Writes a file of the cache whole or not at all.

    Args:
      file: to be made; another process may make the same at the same time.
      write: writes the content to the path it is given.

    Returns:
      Whether it was written: a cache that cannot be written to is no reason to stop.
    """
    try:
        with _beside(file) as temporary:
            write(temporary)
            os.replace(temporary, file)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _beside(file: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name of its own in the same folder, so that a rename is enough; gone at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
