"""The latest checkpoint of a run that is whole, and what becomes of damaged ones after it."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import warnings

from tlj.distributed import agree, barrier, is_main
from tlj.errors import RunError
from tlj.pretrained.inventory import find_damage, read_metadata
from tlj.training.provenance import is_of_this_format

# Orbax writes a checkpoint into a folder of this ending and renames it when it is whole.
UNFINISHED = ".orbax-checkpoint-tmp"


def steps_on_disk(directory: pathlib.Path) -> list[int]:
    """Returns the steps of the finished checkpoints in a directory, sorted."""
    folders = directory.iterdir() if directory.is_dir() else []
    return sorted(int(folder.name) for folder in folders if folder.name.isdecimal())


@dataclasses.dataclass(frozen=True)
class Examined:
    """What the checkpoints in a directory are good for.

    Attributes:
      whole: steps up to the latest whole checkpoint, sorted, that one last; empty where there is none.
      damaged: step and damage of each one after it.
    """

    whole: tuple[int, ...]
    damaged: tuple[tuple[int, str], ...]


def examine(directory: pathlib.Path) -> Examined:
    """Finds the latest whole checkpoint; the main process reads the files for all.

    Raises:
      RunError: where there are checkpoints and all are damaged.
    """
    whole, damaged = agree(_read(directory) if is_main() else None)
    if damaged and not whole:
        listed = "; ".join(f"step {step}: {damage}" for step, damage in damaged)
        raise RunError(
            f"{directory}: every checkpoint is damaged ({listed}); put a copy in place, or use another workdir"
        )
    return Examined(tuple(whole), tuple((step, damage) for step, damage in damaged))


def _read(directory: pathlib.Path) -> tuple[list[int], list[tuple[int, str]]]:
    steps, damaged = steps_on_disk(directory), []
    while steps:
        folder = directory / str(steps[-1])
        metadata = read_metadata(folder)
        # One of another format may be proved in another way: it counts as whole, and is refused for its format.
        proved_here = metadata is None or is_of_this_format(metadata)
        damage = find_damage(folder) if proved_here else ""
        if not damage:
            break
        damaged.append((steps.pop(), damage))
    return steps, damaged


def put_in_order(directory: pathlib.Path, examined: Examined) -> None:
    """Puts damaged checkpoints aside under a free name, tells of each, and removes what was never finished.

    Args:
      directory: of the checkpoints.
      examined: what ``examine`` found there.
    """
    if is_main():
        for step, damage in examined.damaged:
            names = (f"{step}.damaged{count}" for count in ("", *range(2, 1_000_000)))
            aside = next(directory / name for name in names if not (directory / name).exists())
            (directory / str(step)).rename(aside)
            used = f"step {examined.whole[-1]} is used instead"
            warnings.warn(
                f"tlj: the checkpoint of step {step} is damaged ({damage}) and is now {aside}; {used}", stacklevel=3
            )
        for unfinished in directory.glob(f"*{UNFINISHED}"):
            shutil.rmtree(unfinished)
    barrier("checkpoints put in order")
