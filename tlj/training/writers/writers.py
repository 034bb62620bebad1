"""All the places that the rows of a run are shown in, opened and written to together."""

from __future__ import annotations

import contextlib
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from tlj.errors import InputError
from tlj.training.run_files import read_metrics
from tlj.training.writers.tensorboard import TensorboardWriter
from tlj.training.writers.weights_and_biases import WandbWriter, import_wandb


class Writer(Protocol):
    """A place that rows are shown in."""

    name: str

    def write(self, row: Mapping[str, Any]) -> None:
        """Shows a row."""

    def close(self, failed: bool) -> None:
        """Ends with the run, which failed or not."""


class Writers:
    """Shows each row in every place; a place that fails is warned of once and left out, and the run goes on.

    Args:
      writers: the places; none by default.
    """

    def __init__(self, writers: Sequence[Writer] = ()):
        self._writers = list(writers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for writer in self._writers:
            try:
                writer.close(failed=kind is not None)
            except Exception as failure:
                _warn(writer.name, failure)
        self._writers = []

    def write(self, row: Mapping[str, Any]) -> None:
        """Shows a row.

        Args:
          row: as it is written to ``metrics.jsonl``.
        """
        for writer in tuple(self._writers):
            # Anything may come out of a library that talks to a disk or a network, and none of it is worth the run.
            try:
                writer.write(row)
            except Exception as failure:
                _warn(writer.name, failure)
                self._writers.remove(writer)
                with contextlib.suppress(Exception):
                    writer.close(failed=False)


def _warn(name: str, failure: Exception) -> None:
    what = f"{type(failure).__name__}: {failure}"
    warnings.warn(f"tlj: no more rows go to {name}, metrics.jsonl has them all: {what}", stacklevel=2)


def check_writers(config: Mapping[str, Any]) -> None:
    """Checks, before any work, that what a config asks to write to is there.

    Args:
      config: resolved, nested.

    Raises:
      InputError: if ``log.wandb`` is set and the package is not installed.
    """
    if config["log"]["wandb"]:
        import_wandb()


def open_writers(directory: pathlib.Path, config: Mapping[str, Any], config_hash: str, step: int) -> Writers:
    """Opens what a config asks for; to be called by the main process alone.

    Args:
      directory: of the run; its ``metrics.jsonl`` says what each place must have shown by now.
      config: resolved, nested, of the run.
      config_hash: of the config.
      step: that the run goes on from; 0 for a fresh one.

    Raises:
      InputError: if Weights & Biases does not start with a fresh run; later that is a warning.
    """
    log, opened = config["log"], []
    rows = [row for row in read_metrics(directory / "metrics.jsonl") if row["step"] <= step] if step else []
    if log["tensorboard"]:
        try:
            opened.append(TensorboardWriter(directory, rows))
        except Exception as failure:
            _warn(TensorboardWriter.name, failure)
    if log["wandb"]:
        try:
            opened.append(WandbWriter(directory, config, config_hash, rows))
        except Exception as failure:
            if not step:
                raise InputError(
                    f"Weights & Biases does not start: {failure}",
                    where="config.log.wandb",
                    do="run wandb login, set WANDB_MODE=offline, or leave log.wandb empty",
                ) from failure
            _warn(WandbWriter.name, failure)
    return Writers(opened)
