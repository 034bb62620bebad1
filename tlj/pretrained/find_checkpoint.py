"""From a folder that a user names to a checkpoint: a run, the folder of its checkpoints, or one of them by itself."""

from __future__ import annotations

import math
import pathlib

from tlj.errors import InputError, nearest_name
from tlj.metric_names import lower_is_better
from tlj.pretrained.inventory import MARK
from tlj.pretrained.stored import StoredCheckpoint

_FOLDER = "checkpoints"


def checkpoint_steps(run: pathlib.Path) -> list[int]:
    """Returns the steps that a run has finished checkpoints of, sorted; names that are no step are not checkpoints."""
    return _steps_in(run / _FOLDER)


def _steps_in(folder: pathlib.Path) -> list[int]:
    """Of a folder of another name, such as one of label budgets, only what is surely a checkpoint counts."""
    found = [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    sure = [entry for entry in found if folder.name == _FOLDER or (entry / MARK).is_file()]
    return sorted(int(entry.name) for entry in sure if _is_step(entry.name))


def _is_step(name: str) -> bool:
    return name.isdecimal() and str(int(name)) == name


def find_checkpoint(directory: pathlib.Path, step: int | str | None = None) -> StoredCheckpoint:
    """Returns the checkpoint that a folder holds or is; of the checkpoint itself nothing is read yet.

    Args:
      directory: a run, the ``checkpoints`` of a run or one of them; either of the latter may lie anywhere.
      step: a number, ``"best"``, or None or ``"latest"``. One checkpoint by itself has no other.

    Raises:
      InputError: where there is no such checkpoint.
    """
    directory = directory.absolute()  # Orbax takes no relative path
    inside = directory.parent.name == _FOLDER and _is_step(directory.name)
    if inside or (directory / MARK).is_file():
        return _single(directory, step, inside)
    folder = directory / _FOLDER if (directory / _FOLDER).is_dir() else directory
    steps = _steps_in(folder)
    if not steps:
        raise InputError(
            "no checkpoint here",
            where=str(directory),
            do="give a run of tlj that has been trained, its folder of checkpoints, or one of them",
        )
    if step == "best":
        step = best_step(directory)
    step = steps[-1] if step in (None, "latest") else step
    if step not in steps:
        raise InputError(
            f"no checkpoint of step {step}",
            where=str(directory),
            nearest=nearest_name(str(step), map(str, steps)),
            do=f"use one of {', '.join(map(str, steps))}",
        )
    run = folder.parent if folder.name == _FOLDER else folder
    return StoredCheckpoint(folder / str(step), run, step, tuple(other for other in steps if other != step))


def _single(folder: pathlib.Path, step: int | str | None, inside: bool) -> StoredCheckpoint:
    steps = _steps_in(folder.parent) if inside else []
    named = int(folder.name) if inside else None
    run = folder.parents[1] if inside else folder
    found = StoredCheckpoint(folder, run, named, tuple(other for other in steps if other != named))
    if step not in (None, "latest") and step != found.step:
        what, do = f"step {step!r} of the checkpoint of step {found.step}", "leave the step out, or name the run"
        raise InputError(what, where=str(folder), do=do)
    return found


def best_step(directory: pathlib.Path) -> int:
    """Returns the step of the best checkpoint that is kept, by the run's ``checkpoint.metric``; ties go to the first.

    Args:
      directory: of a run, or of its checkpoints.

    Raises:
      InputError: where no checkpoint that is kept was validated, or one cannot be read.
    """
    latest = find_checkpoint(directory)
    kept = sorted((latest.step, *latest.others))
    record, config = latest.metadata.get("record") or {}, latest.about["config"]
    for step, _ in record.get("best") or ():
        if step in kept:
            return step
    metric = (config.get("checkpoint") or {}).get("metric") or "validation_loss"
    values = {step: (find_checkpoint(directory, step).metadata.get("metrics") or {}).get(metric) for step in kept}
    values = {step: value for step, value in values.items() if value is not None and math.isfinite(value)}
    if not values:
        raise InputError(
            f"no checkpoint here has a {metric}, so none is the best",
            where=str(directory),
            do="use the latest, or train with evaluate.every and checkpoint.every set alike",
        )
    sign = 1 if lower_is_better(metric) else -1
    return min(values, key=lambda step: (sign * values[step], step))
