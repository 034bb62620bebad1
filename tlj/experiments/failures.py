"""Runs that failed: each is tried once more, and then its directory says why it is not there."""

from __future__ import annotations

import json
import pathlib

from tlj.distributed import agree, is_main
from tlj.training.run_files import write_json

FAILED = "failed.json"
ATTEMPTS = 2


def note_failure(directory: pathlib.Path, error: BaseException) -> int:
    """Writes down that a run failed.

    Args:
      directory: of the run.
      error: why.

    Returns:
      How often it has failed by now.
    """
    attempts = failed_attempts(directory) + 1
    if is_main():
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / FAILED, {"attempts": attempts, "error": f"{type(error).__name__}: {error}"})
    return attempts


def failed_attempts(directory: pathlib.Path) -> int:
    """Returns how often a run has failed since it last got anywhere."""
    path = directory / FAILED
    return agree(json.loads(path.read_text())["attempts"] if path.exists() else 0)


def is_given_up(directory: pathlib.Path) -> bool:
    """Returns whether a run has failed so often that it is not tried again."""
    return failed_attempts(directory) >= ATTEMPTS


def forget_failure(directory: pathlib.Path) -> None:
    """Takes back that a run failed, because it is done now."""
    if is_main():
        (directory / FAILED).unlink(missing_ok=True)
