"""Compiled programs kept between processes, so that a second start does not wait for the compiler.

JAX keeps them (its persistent compilation cache); here is where, for whom, how much, and what happens to a damaged one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import re
import stat
import warnings

from tlj.data.cache import cache_folder

# Of all programs of one kind of machine; the largest here, a step of a ViT-B/16, takes 2 MB.
MAX_BYTES = 2 * 2**30
_FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_SETTINGS = {
    # What is not kept is compiled again at every start, and a small program costs more to compile than to read.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_compilation_cache_max_size": MAX_BYTES,
}
_FAILURE = re.compile(r"Error (?:reading|writing) persistent compilation cache entry for '([^']*)'")


def keep_compiled() -> pathlib.Path | None:
    """Makes JAX keep what it compiles from here on, and take what is kept.

    What the environment says of JAX's cache is left as it is. Nothing that goes wrong with the cache stops a run: a
    program that cannot be read is compiled, and replaced.

    Returns:
      The folder of the programs; None where there is none: the environment says so, it cannot be written to, or others
      can write to it.
    """
    import jax

    given = jax.config.jax_compilation_cache_dir
    if given or _FOLDER_VARIABLE in os.environ:
        return pathlib.Path(given) if given else None
    folder = cache_folder("compiled") / machine_kind()
    if not _is_own(folder):
        return None
    drop_unfinished(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    _mend_quietly(folder)
    return folder


def keep_nothing() -> None:
    """Makes JAX compile everything anew in this process."""
    import jax

    jax.config.update("jax_enable_compilation_cache", False)


def machine_kind() -> str:
    """Returns a short hash of what a program for a CPU is compiled for: its kind, and how many threads share the work.

    Machines that share a home directory may differ in both. A program of another CPU may not run, and one of another
    number of threads adds up in another order.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = [platform.machine(), platform.processor(), os.environ.get("NPROC") or str(cores)]
    with contextlib.suppress(OSError):
        first = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
        kind += [line for line in first.splitlines() if line.startswith(("model name", "flags", "Features", "CPU "))]
    return hashlib.sha256("\n".join(kind).encode()).hexdigest()[:12]


def _is_own(folder: pathlib.Path) -> bool:
    """Makes the folder, and says whether it can be written to by this user and by nobody else: programs are run."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return os.access(folder, os.W_OK)
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        warnings.warn(
            f"compiled programs are not kept: {folder} can be written to by others; set {_FOLDER_VARIABLE}",
            stacklevel=3,
        )
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def drop_unfinished(folder: pathlib.Path) -> None:
    """Removes the programs that a process was killed while writing.

    JAX writes the time of last use beside a program when the program is whole; without that file it can neither be
    trusted nor, because of how JAX looks for what to remove, can anything else be written.

    Args:
      folder: of the programs.
    """
    import filelock

    # Whoever holds the lock is writing: what is unfinished is theirs.
    with contextlib.suppress(OSError, filelock.Timeout), filelock.FileLock(folder / ".lockfile").acquire(timeout=0.2):
        for program in folder.glob("*-cache"):
            if not program.with_name(program.name.removesuffix("cache") + "atime").exists():
                program.unlink(missing_ok=True)


def _mend_quietly(folder: pathlib.Path) -> None:
    """Removes a program that JAX warns of, so that it writes it anew, and keeps the warning from the user."""
    show = warnings.showwarning

    def show_others(message, category, filename, lineno, file=None, line=None):
        failed = _FAILURE.match(str(message))
        if not failed:
            show(message, category, filename, lineno, file, line)
            return
        drop_unfinished(folder)
        with contextlib.suppress(OSError):
            for program in folder.glob("*-cache"):
                if program.name.startswith(f"{failed[1]}-"):
                    program.unlink(missing_ok=True)

    warnings.showwarning = show_others
