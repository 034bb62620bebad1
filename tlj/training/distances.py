"""How far parameters are from where they started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tlj.freezing.phases import Layout, Phase

Arrays = Mapping[str, np.ndarray]


def norm_of(arrays: Sequence[np.ndarray]) -> float:
    """Returns the Euclidean norm of all numbers of some arrays together, summed in float64."""
    return float(np.sqrt(sum(np.sum(np.square(array, dtype=np.float64)) for array in arrays)))


def moved_by_depth(
    params: Arrays, initial: Arrays, layout: Layout, phases: Sequence[Phase]
) -> list[dict[str, float | int | None]]:
    """Returns how far the parameters of each depth are from where they started, adapters with what they adapt.

    Args:
      params: by path.
      initial: by path.
      layout: of the model.
      phases: so far; the last is the one the parameters are of.

    Returns:
      Rows of depth, leaves, trained (how many of them any phase trained), trained_now (how many the last one trains),
      distance (Euclidean) and relative (distance by the norm of the start; None where that is zero).
    """
    ever, now = set().union(*(phase.trained for phase in phases)), set(phases[-1].trained)
    rows = []
    for depth in sorted(set(layout.depths.values())):
        # In an order of their own, or the last bits of a sum would depend on how the run was read.
        paths = sorted(path for path in params if layout.depths[path] == depth)
        distance, start = norm_of([params[p] - initial[p] for p in paths]), norm_of([initial[p] for p in paths])
        rows.append(
            {
                "depth": depth,
                "leaves": len(paths),
                "trained": len(ever.intersection(paths)),
                "trained_now": len(now.intersection(paths)),
                "distance": distance,
                "relative": distance / start if start else None,
            }
        )
    return rows
