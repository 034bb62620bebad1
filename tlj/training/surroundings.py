"""What the runs of one process share."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tlj.training.programs import Programs
from tlj.training.together.stack import Commons


class StoppedError(Exception):
    """The run was asked to stop; its files let it go on later."""


def _ignore(_: Any) -> None:
    pass


@dataclasses.dataclass(frozen=True, eq=False)
class Surroundings:
    """What the runs of one process share.

    Attributes:
      programs: compiled once, used by all.
      stop: set to make every run stop at its next step.
      on_begin: told how many steps an earlier process has done.
      on_step: told how many steps are newly done, for a progress bar.
      on_window: told every row of ``metrics.jsonl`` as it is written.
      commons: frozen parameters of runs that are trained together; None where each has its own.
    """

    programs: Programs = dataclasses.field(default_factory=Programs)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    on_begin: Callable[[int], None] = _ignore
    on_step: Callable[[int], None] = _ignore
    on_window: Callable[[Mapping[str, Any]], None] = _ignore
    commons: Commons | None = None
