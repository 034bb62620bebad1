"""Room on the disk for activations, asked for before any are computed."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterable

from tlj.data.cache import cache_folder
from tlj.errors import InputError
from tlj.training.cached.checks import WHERE
from tlj.training.cached.extract import depths_of, layout_of, rows_of, wanted
from tlj.training.setup import Setup


def check_room(setup: Setup, needed: int, what: str) -> None:
    """Checks that the disk has room for activations.

    Args:
      setup: of a run.
      needed: bytes that are still to be written.
      what: names whose they are.

    Raises:
      InputError: where they would take more than their share of what is free.
    """
    folder, share = cache_folder("activations"), setup.config["cache"]["disk_share"]
    free = shutil.disk_usage(_existing(folder)).free
    if needed > share * free:
        half = ", keep them in bfloat16" if setup.config["cache"]["activations"] == "float32" else ""
        raise InputError(
            f"the activations of {what} take {needed:,} bytes, more than {share:g} of the {free:,} free at {folder}",
            where=WHERE,
            do=f"make room, set TLJ_CACHE to another disk or config.cache.disk_share to more{half}, or set it to none",
        )


def _existing(folder: pathlib.Path) -> pathlib.Path:
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def check_room_of_all(setups: Iterable[Setup], seeds: int) -> None:
    """Checks that the disk has room for the activations of a comparison, as far as they are not there yet.

    Args:
      setups: of a run of each arm; their sources need not be there yet.
      seeds: of the comparison; where a backbone is drawn with one, each has activations of its own.

    Raises:
      InputError: where it has none.
    """
    needed: dict[tuple[str, int], int] = {}
    for setup in setups:
        for depth in {depth for depth in depths_of(setup) if depth is not None}:
            needed[setup.init, depth] = _bytes(setup, depth) * (1 if setup.init == "pretrained" else seeds)
    if total := sum(needed.values()):
        check_room(setup, total, "the comparison")


def _bytes(setup: Setup, depth: int) -> int:
    if setup.pretrained is None and setup.init != "scratch":
        # Its source is yet to be trained: there can be none.
        return sum(map(layout_of(setup, depth).bytes_of, rows_of(setup)))
    asked = wanted(setup, depth)
    return sum(map(asked.file.layout.bytes_of, asked.missing()))
