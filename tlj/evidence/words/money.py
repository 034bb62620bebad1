"""How money and energy are said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tlj.evidence.words.wording import MINUS

NOTHING = "–"


def dollars(value: float | None) -> str:
    """Returns an amount, ``$0.0021``, ``$5.40``, ``$500``, ``$12,300``; what is not known is an en dash."""
    if value is None:
        return NOTHING
    size = abs(value)
    whole = size >= 1000 or size == round(size)
    text = f"{size:,.0f}" if whole else f"{size:.2f}" if size >= 1 else _small(size)
    return f"{MINUS if value < 0 else ''}${text}"


def dollars_interval(interval: Sequence[float | None] | None) -> str:
    """Returns an interval of amounts, ``[$1.20, $3.40]``; an end that has no bound is ``…``, no interval is nothing."""
    if interval is None:
        return ""
    return f"[{', '.join('…' if end is None else dollars(end) for end in interval)}]"


def energy(kwh: float | None) -> str:
    """Returns energy in a unit that suits it, ``3.2 Wh``, ``1.4 kWh``."""
    if kwh is None:
        return NOTHING
    return f"{kwh:.3g} kWh" if kwh >= 1 else f"{1000 * kwh:.3g} Wh"


def carbon(kg: float | None) -> str:
    """Returns CO2e in a unit that suits it, ``3.2 g``, ``1.4 kg``."""
    if kg is None:
        return NOTHING
    return f"{kg:.3g} kg" if kg >= 1 else f"{1000 * kg:.3g} g"


def _small(size: float) -> str:
    # Cents where they say enough, else two digits that are not zero.
    if size >= 0.095 or round(size, 2) == size:
        return f"{size:.2f}"
    return f"{size:.{1 - math.floor(math.log10(size))}f}"
