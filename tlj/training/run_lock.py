"""One process at a time in the directory of a run or a comparison."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import socket
import time
import warnings
from collections.abc import Iterator

from tlj.distributed import is_main
from tlj.errors import InputError

LOCK = ".lock"
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def run_lock(directory: pathlib.Path) -> Iterator[None]:
    """Holds a directory as long as its body runs; the kernel lets go of it when the process ends, however it ends.

    Args:
      directory: of a run or a comparison; made where it is missing.

    Raises:
      InputError: where it is held already, by whom, or where nothing can be written to it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = _held(directory)
    except OSError as error:
        raise InputError(
            f"nothing can be written here ({error.strerror})", where=str(directory), do="use another workdir"
        ) from error
    try:
        yield
    finally:
        # Removed while it is held, so that who comes next makes a file of its own.
        (directory / LOCK).unlink(missing_ok=True)
        os.close(held)


def only_here(directory: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Holds a directory as ``run_lock`` does; the main process does so for all that train together.

    Args:
      directory: of a run or a comparison.
    """
    return run_lock(directory) if is_main() else contextlib.nullcontext()


def _held(directory: pathlib.Path) -> int:
    """The descriptor of the locked file of a directory."""
    while True:
        opened = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(opened, directory)
            if _is_still_there(opened, directory):
                told = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
                os.ftruncate(opened, 0)
                os.pwrite(opened, json.dumps(told).encode(), 0)
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)


def _lock(opened: int, directory: pathlib.Path) -> None:
    # Not on every platform; where it is missing, so is the file system that would need it.
    import fcntl

    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"another run is at work here ({_holder(opened)})",
            where=str(directory),
            do="wait for it, stop it, or use another workdir",
        ) from error
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        warnings.warn(
            f"tlj: {directory}: this file system has no locks ({error.strerror}): nothing keeps two runs out of one "
            "directory",
            stacklevel=4,
        )


def _is_still_there(opened: int, directory: pathlib.Path) -> bool:
    """Whether the locked file is the one in the directory: who held it before may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(opened), os.stat(directory / LOCK))
    except FileNotFoundError:
        return False


def _holder(opened: int) -> str:
    try:
        told = json.loads(os.pread(opened, 1000, 0))
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has just begun"
