"""Which runs are trained together: those of one step program, and among them first those that read the same data."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence


@dataclasses.dataclass(frozen=True)
class Kind:
    """What decides with which others a run is trained.

    Attributes:
      program: what runs must have in common to be trained together.
      order: what decides the batches of a run; where all of a batch read the same, it is read and computed on once.
    """

    program: Hashable
    order: Hashable


def batches(kinds: Sequence[Kind], most: int) -> list[list[int]]:
    """Returns the runs that are trained together, by their places; the batch with the earliest run comes first.

    Runs of one order fill batches of their own. What is left of several orders shares batches, unless it fills more
    than half of one.

    Args:
      kinds: of the runs, in the order in which they would be trained one by one.
      most: runs of a batch.
    """
    by_kind: dict[Hashable, dict[Hashable, list[int]]] = {}
    for place, kind in enumerate(kinds):
        by_kind.setdefault(kind.program, {}).setdefault(kind.order, []).append(place)
    made = []
    for by_order in by_kind.values():
        rest: list[int] = []
        for places in by_order.values():
            cut = [places[begin : begin + most] for begin in range(0, len(places), most)]
            made += [piece for piece in cut if 2 * len(piece) > most]
            rest += [place for piece in cut if 2 * len(piece) <= most for place in piece]
        made += [rest[begin : begin + most] for begin in range(0, len(rest), most)]
    return sorted(map(sorted, made))
