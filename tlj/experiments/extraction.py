"""Activations that several runs of a comparison start from, made in one pass before the first of them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np

from tlj.training.cached.extract import Wanted, depths_of, extract, wanted
from tlj.training.cached.room import check_room
from tlj.training.programs import Programs
from tlj.training.read_order import order_key
from tlj.training.setup import Setup


def extract_for_all(setups: Iterable[Setup], programs: Programs) -> None:
    """Makes the activations that runs of several seeds and label budgets begin with.

    Each would make those that it lacks, a few in a batch that is mostly padding. What runs of one order alone start
    from, such as features of a backbone that is drawn with their seed, is left to the first of them.

    Args:
      setups: of the runs, which start from inputs.
      programs: compiled programs to share.

    Raises:
      InputError: where the disk has no room for them.
      RunError: where the disk is full.
    """
    of_files: dict[pathlib.Path, list[tuple[Setup, Wanted]]] = {}
    caching = [setup for setup in setups if depths_of(setup)[0] is not None]
    for setup in {order_key(setup): setup for setup in caching}.values():
        asked = wanted(setup, depths_of(setup)[0])
        of_files.setdefault(asked.file.folder, []).append((setup, asked))
    for together in of_files.values():
        if len(together) == 1:
            continue
        setup, first = together[0]
        rows = {name: np.unique(np.concatenate([getattr(asked, name) for _, asked in together]))
                for name in ("clean", "views")}  # fmt: skip
        whole = dataclasses.replace(first, **rows)
        if needed := sum(map(whole.file.layout.bytes_of, whole.missing())):
            check_room(setup, needed, "the comparison")
            extract(setup, programs, whole)
