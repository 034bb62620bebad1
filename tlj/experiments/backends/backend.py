"""What a sweep asks of the place where its members run: take jobs, say which ended, stop them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Job:
    """One command to be run.

    Attributes:
      name: tells it from the other jobs of a backend.
      command: the program and its words.
      folder: that it runs in.
      log: file that what it prints is appended to.
      environment: variables in addition to those of the sweep.
    """

    name: str
    command: tuple[str, ...]
    folder: pathlib.Path
    log: pathlib.Path
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A job that ended.

    Attributes:
      name: of the job.
      code: its exit code, negative for a signal; None where it was cancelled before it began.
    """

    name: str
    code: int | None


class Backend(Protocol):
    """Runs jobs, as many at a time as it has room for, in the order in which they were submitted.

    It knows nothing of sweeps: what a job leaves behind, and whether it is tried again, is the sweep's to judge. The
    queue of a cluster fits as well as this machine, if its machines see ``Job.folder`` and ``Job.log``.
    """

    def submit(self, job: Job) -> None:
        """Takes a job, which begins at once or once there is room; after ``cancel`` it never begins.

        Args:
          job: whose name no other job has that has not ended.
        """
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """Returns the jobs that ended since the last call, each once, as soon as there is one.

        Args:
          seconds: how long to wait for one at most; then the list is empty.
        """
        ...

    def cancel(self, *, kill: bool = False) -> None:
        """Begins no further job, and tells those that run to save and stop; ``wait`` returns all of them.

        Args:
          kill: whether to end them at once instead.
        """
        ...
