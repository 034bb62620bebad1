"""The freeze boundary: up to which depth a model computes the same for an example at every step of a phase."""

from __future__ import annotations

from collections.abc import Sequence

from tlj.freezing.modes import norm_mode
from tlj.freezing.phases import Layout, Phase

# What leaves the embedding takes more bytes than the input that it is made from, and hardly any time to make.
LOWEST = 1


def boundaries(phases: Sequence[Phase], layout: Layout) -> tuple[int | None, ...]:
    """Returns the boundary of each phase: the greatest depth at and below which nothing has changed since the start.

    There every parameter and every running statistic is frozen in the phase and in all before it, and dropout is off
    where nothing trains: what leaves that depth follows from the input alone.

    Args:
      phases: of a run, in their order.
      layout: of the model.

    Returns:
      The last depth of the backbone where all of it is frozen; None where not even the first block is.
    """
    norms = {path.rpartition("/")[0]: depth for path, depth in layout.depths.items()}
    found, lowest = [], layout.head
    for phase in phases:
        moving = [norms[norm] for norm in layout.statistics if norm_mode(phase, norm) != "frozen"]
        lowest = min([lowest, *moving, *(layout.depths[path] for path in phase.trained)])
        found.append(lowest - 1 if lowest - 1 >= LOWEST else None)
    return tuple(found)
