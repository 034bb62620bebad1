"""Weights & Biases, where it is installed and asked for."""

from __future__ import annotations

import pathlib
import secrets
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from tlj.errors import InputError
from tlj.training.writers.scalars import scalars

FOLDER, ID_FILE = "wandb", "tlj_run_id.txt"


def import_wandb() -> ModuleType:
    """Returns the package.

    Raises:
      InputError: if it is not installed.
    """
    try:
        import wandb
    except ImportError:
        wandb = None
    # A folder of that name, which the package leaves wherever it runs, is imported as an empty package.
    if wandb is None or not hasattr(wandb, "init"):
        raise InputError(
            "Weights & Biases is not installed",
            where="config.log.wandb",
            do="install it with pip install 'tlj[wandb]', or leave log.wandb empty",
        )
    return wandb


class WandbWriter:
    """Logs rows to one run of Weights & Biases, which a restart goes on with.

    ``WANDB_MODE`` and the package's other variables are respected. Steps that it holds already are not logged again: a
    run that goes on from a checkpoint repeats them bit for bit.

    Args:
      directory: of the run; the package's files go to ``wandb/`` in it.
      config: resolved, nested, of the run.
      config_hash: of the config.
      rows: that the run has written so far; what a kill kept from being sent is sent.
    """

    name = "Weights & Biases"

    def __init__(
        self,
        directory: pathlib.Path,
        config: Mapping[str, Any],
        config_hash: str,
        rows: Sequence[Mapping[str, Any]],
    ):
        wandb = import_wandb()
        self._run = wandb.init(
            project=config["log"]["wandb"],
            id=_run_id(directory, config_hash),
            name=directory.resolve().name,
            dir=str(directory),
            config=dict(config),
            resume="allow",
            # A comparison has several runs in one process, some at a time.
            reinit="create_new",
            # What the terminal shows is a bar that is drawn over and over.
            settings=wandb.Settings(console="off"),
        )
        for row in rows:
            self.write(row)

    def write(self, row: Mapping[str, Any]) -> None:
        """Logs the numbers of a row."""
        if row["step"] >= self._run.step:
            self._run.log(scalars(row), step=row["step"])

    def close(self, failed: bool) -> None:
        """Sends what is left and ends the run there.

        Args:
          failed: whether the run ends before its end.
        """
        self._run.finish(exit_code=int(failed))


def _run_id(directory: pathlib.Path, config_hash: str) -> str:
    """Returns the id there of the run in a directory: the same after a restart, another in another directory."""
    path, known = directory / FOLDER / ID_FILE, ""
    if path.exists():
        known = path.read_text().strip()
    if known.startswith(config_hash[:12]):
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    known = f"{config_hash[:12]}-{secrets.token_hex(4)}"
    path.write_text(known + "\n")
    return known
