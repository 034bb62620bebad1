"""Where the rows of a run go: ``metrics.jsonl``, the places it is watched in, and whoever shows its progress."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Self

from tlj.distributed import is_main
from tlj.training.run_files import MetricsLog
from tlj.training.setup import Setup
from tlj.training.writers.writers import Writers, open_writers

LOG = "metrics.jsonl"


class RunLogs:
    """The rows of a run; only the main process writes them, every process shows them.

    Args:
      setup: of the run.
      directory: of the run.
      config_hash: of the config.
      step: that the run goes on from; rows beyond it are dropped.
      on_row: told each row.
    """

    def __init__(
        self,
        setup: Setup,
        directory: pathlib.Path,
        config_hash: str,
        step: int,
        on_row: Callable[[Mapping[str, Any]], None],
    ):
        self._open = contextlib.ExitStack()
        self._on_row, self._log = on_row, None
        if is_main():
            # The places read the rows that are kept.
            self._log = self._open.enter_context(contextlib.closing(MetricsLog(directory / LOG, step)))
            self._writers: Writers = self._open.enter_context(open_writers(directory, setup.config, config_hash, step))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.__exit__(*exception)

    def write(self, row: Mapping[str, Any]) -> None:
        """Takes in a row: a window of steps, or a validation."""
        if self._log is not None:
            self._log.write(row)
            self._writers.write(row)
        self._on_row(row)
