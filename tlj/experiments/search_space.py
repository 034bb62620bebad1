"""What a search draws from: ranges and lists by config key, the settings in them, and what lies beyond an edge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlj.config_keys import KEYS
from tlj.config_kinds import parse_range
from tlj.errors import InputError

Values = Mapping[str, Any]
Ranges = Mapping[str, Sequence[Any]]
_STREAM = 0x7E1A


def ends(spec: Any) -> tuple[Any, ...]:
    """Returns a range as ``(low, high, scale)``, and a list of values as it is."""
    return parse_range(spec) if isinstance(spec, str) else tuple(spec)


def check_ends(key: str, spec: Any) -> None:
    """Raises InputError where a key does not take the ends of a range, or a value of a list.

    Args:
      key: dotted.
      spec: its range or list.
    """
    for value in ends(spec)[:2] if isinstance(spec, str) else spec:
        try:
            KEYS[key].kind.convert(_typed(key, value))
        except (ValueError, TypeError) as error:
            what = f"{value!r} is not {KEYS[key].kind.expected}"
            do = "keep to values that the key takes"
            raise InputError(what, where=f"config.tuning.space.{key}", do=do) from error


def settings(search: str, space: Values, number: int, extension: int = 0) -> list[dict[str, Any]]:
    """Returns the settings that a search tries in a space.

    Trial i of two spaces draws the same place in both, key by key.

    Args:
      search: ``random``, or ``grid``: evenly spaced, as many as fit.
      space: ranges and lists by dotted key.
      number: of settings; at most, in a grid.
      extension: 0, or the number of the extension, whose draws are others.

    Raises:
      InputError: where a grid has no room for two points of every range.
    """
    keys = sorted(space)
    if search == "grid":
        ranged = [key for key in keys if isinstance(space[key], str)]
        listed = math.prod(len(space[key]) for key in keys if key not in ranged)
        points = int((number / listed) ** (1 / len(ranged)) + 1e-9) if ranged else 1
        if points < (2 if ranged else 1) or listed > number:
            do = f"allow at least {listed * 2 ** len(ranged)}"
            raise InputError(
                f"a grid over {len(keys)} keys has no room in {number} trials", where="config.tuning.trials", do=do
            )
        places = [np.linspace(0, 1, points) if key in ranged else np.arange(len(space[key])) for key in keys]
        return [
            {key: _value(key, space[key], at) for key, at in zip(keys, setting, strict=True)}
            for setting in itertools.product(*places)
        ]
    found = []
    for trial in range(number):
        # A stream per trial and key: an arm with a key more draws the others as its twin does.
        draws = {key: np.random.default_rng([_STREAM, extension, trial, *key.encode()]).random() for key in keys}
        places = {key: u if isinstance(space[key], str) else int(u * len(space[key])) for key, u in draws.items()}
        found.append({key: _value(key, space[key], places[key]) for key in keys})
    return found


def _value(key: str, spec: Any, place: float) -> Any:
    """The value at a place of a range, as the key takes it, with four digits: more have no meaning."""
    if not isinstance(spec, str):
        return KEYS[key].kind.convert(spec[int(place)])
    low, high, scale = parse_range(spec)
    value = math.exp(math.log(low) + place * math.log(high / low)) if scale == "log" else low + place * (high - low)
    value = float(f"{value:.4g}")
    return KEYS[key].kind.convert(_typed(key, value))


def _typed(key: str, value: Any) -> Any:
    """A number as the key has it: whole where its default is."""
    default = KEYS[key].default
    return round(value) if isinstance(default, int) and isinstance(value, float) else value


def widened(rounds: Sequence[Ranges], sides: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """Returns the space beyond the edges that the best lies at, half as wide as what was searched, and if there is any.

    Args:
      rounds: the ranges of every trial so far, by key.
      sides: ``low`` or ``high``, by the keys that are to go beyond it.
    """
    space, grown = {}, False
    for key, last in rounds[-1].items():
        if len(last) != 3 or last[2] not in ("log", "linear"):
            space[key] = list(last)
            continue
        low = min(ranges[key][0] for ranges in rounds)
        high, scale = max(ranges[key][1] for ranges in rounds), last[2]
        if key in sides and (beyond := _beyond(key, low, high, scale, sides[key])):
            low, high, grown = *beyond, True
        space[key] = f"{low!r} to {high!r} {scale}"
    return space, grown


def _beyond(key: str, low: float, high: float, scale: str, side: str) -> tuple[float, float] | None:
    """What lies beyond one end of a range; None where the key takes nothing there."""
    if scale == "log":
        half = math.sqrt(high / low)
        found = (high, high * half) if side == "high" else (low / half, low)
    else:
        half = (high - low) / 2
        found = (high, high + half) if side == "high" else (low - half, low)
    try:
        KEYS[key].kind.convert(_typed(key, found[side == "high"]))
    except ValueError:
        return None
    return found
