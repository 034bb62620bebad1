import dataclasses
import pathlib

import pytest

from tlj.errors import InputError
from tlj.training.cached import room
from tlj.training.cached.extract import wanted
from tlj.training.cached.room import check_room_of_all
from tlj.training.cached.run import CachedRun
from tlj.training.programs import Programs


@dataclasses.dataclass
class Disk:
    free: int


def test_a_disk_without_room_is_told_before_anything_is_computed(probe, monkeypatch):
    setup = probe(7)
    needed = len(wanted(setup, 2).clean) * 16 * 4
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: pathlib.Path(path).exists() and Disk(2 * needed - 2))
    for check in (lambda: check_room_of_all([setup], 1), lambda: CachedRun(setup, Programs()).setup(0)):
        with pytest.raises(InputError, match=f"take {needed:,} bytes, more than 0.5 of the.*TLJ_CACHE.*bfloat16"):
            check()
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: Disk(2 * needed))
    check_room_of_all([setup], 1)
    with pytest.raises(InputError, match=f"{3 * needed:,} bytes"):
        # A backbone that the seed draws has activations of its own for each.
        check_room_of_all([setup], 3)
