"""The numbers of a row of ``metrics.jsonl``, each under one name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """Returns every finite number of a row but its step, names of nested ones joined by ``/``.

    A number that is not finite is null in ``metrics.jsonl``: left out, it looks alike before and after a restart.

    Args:
      row: as it is written to ``metrics.jsonl``.
    """
    return dict(_numbers({name: value for name, value in row.items() if name != "step"}))


def _numbers(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{prefix}{name}", float(value)
