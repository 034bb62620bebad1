"""Memory in huge pages, which a step on a CPU is sooner given than the small ones it is made of.

XLA on CPU takes the memory of a step anew each time, and the kernel hands it out page by page, zeroed: of a ViT-S/16 at
batch 8 that is 300,000 pages of 4 KiB a step, and a sixth of its processor time. glibc asks for pages of 2 MiB if it is
told to before a process begins, so the process begins once more.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping

_VARIABLE, _TUNABLE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
_SETTING = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment whose processes ask for huge pages, where the kernel gives them to who asks.

    Elsewhere, or where the user has set the tunable, it is as it was.

    Args:
      environment: by variable.
    """
    told = environment.get(_VARIABLE, "")
    if _TUNABLE in told or not _given_to_who_asks():
        return dict(environment)
    return {**environment, _VARIABLE: ":".join(filter(None, [told, f"{_TUNABLE}=1"]))}


def begin_with_huge_pages() -> None:
    """Begins this process once more, with the same words and the same number, if that gives it huge pages."""
    wanted = with_huge_pages(os.environ)
    if wanted == dict(os.environ):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def _given_to_who_asks() -> bool:
    try:
        is_glibc = "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
        return is_glibc and "[madvise]" in _SETTING.read_text()
    except (OSError, ValueError, AttributeError):
        # Another system or C library.
        return False
