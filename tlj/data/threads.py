"""How many threads read at once where the work is decoding or waiting for a disk."""

from __future__ import annotations

import os

MOST_THREADS = 16


def thread_count(threads: int = 0) -> int:
    """Returns the threads to use.

    Args:
      threads: as asked for; 0 is one for each core that this process may use, up to ``MOST_THREADS``.
    """
    if threads:
        return threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)
