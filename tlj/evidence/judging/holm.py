"""Holm's correction: several arms judged against one twin, with one chance in twenty of any false verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Corrected:
    """What the correction makes of one test.

    Args:
      p: the adjusted p, to be held against the level of the whole family.
      tests: by how many the level is divided here; an interval at that level excludes zero where ``p`` is under it.
    """

    p: float
    tests: int


def holm(ps: Sequence[float], level: float = 0.05) -> list[Corrected]:
    """Adjusts the p values of a family by Holm's step-down method (Holm 1979).

    The smallest p is held against ``level / m``, the next against ``level / (m - 1)`` and so on, until one is not under
    its level. That one and all larger ones share its level, so that intervals tell the same as the adjusted p.

    Args:
      ps: p values, in any order.
      level: the chance of any false rejection in the family.

    Returns:
      The adjusted p and the divisor of the level, in the order of ``ps``.
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted: dict[int, Corrected] = {}
    largest, stopped_at = 0.0, None
    for rank, i in enumerate(order):
        tests = len(ps) - rank
        largest = max(largest, min(tests * ps[i], 1.0))
        if stopped_at is None and tests * ps[i] > level:
            stopped_at = tests
        adjusted[i] = Corrected(largest, stopped_at or tests)
    return [adjusted[i] for i in range(len(ps))]
