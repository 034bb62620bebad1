"""Kinds of settings in a config.json: what a value may be, and transformers' own default where the file is silent."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from tlj.errors import InputError, nearest_name

# transformers' names of each activation that tlj has; the first is the one that is written. Those of the tanh formula
# differ in how transformers computes it, not in what.
ACTIVATION_NAMES = {
    "gelu": ("gelu", "gelu_python"),
    "gelu_tanh": ("gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_python_tanh"),
    "relu": ("relu",),
}
_LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a config.json.

    Attributes:
      default: what transformers' config class takes where the file does not say, as the file would say it.
      expected: what a value should be, in words.
      read: returns the value as tlj uses it, or raises ValueError.
      choices: the values that exist, where they are names.
    """

    default: Any
    expected: str
    read: Callable[[Any], Any]
    choices: tuple[str, ...] = ()

    def value(self, config: Mapping[str, Any], key: str, where: str) -> Any:
        """Returns the setting of a config.

        Args:
          config: the content of a config.json.
          key: name of the setting in it.
          where: the file.

        Raises:
          InputError: for a value that it may not have, or that tlj does not implement.
        """
        given = config.get(key, self.default)
        try:
            return self.read(given)
        except ValueError:
            what = "not implemented" if self.choices and isinstance(given, str) else f"not {self.expected}"
            raise InputError(
                f"{key} = {shown(given)} is {what}",
                where=where,
                nearest=nearest_name(given, self.choices) if isinstance(given, str) else None,
                do=f"tlj implements {', '.join(self.choices)}" if self.choices else "mend the file",
            ) from None


def shown(value: Any) -> str:
    """Returns a value as an error message shows it: on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _where(fits: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not fits(value):
            raise ValueError(value)
        return value

    return read


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _LARGEST


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # An integer of JSON may be larger than any float.
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value)


def size(default: int, least: int = 1) -> Setting:
    """A whole number, from ``least`` to 2**31 - 1."""
    return Setting(default, f"a whole number of at least {least}", _where(lambda value: _is_whole(value, least)))


def optional_size() -> Setting:
    """A whole number, or null or 0 where it follows from others."""
    return Setting(None, "a whole number", _where(lambda value: value is None or _is_whole(value, 0)))


def side(default: int) -> Setting:
    """Length of the side of a square: a number of pixels, or height and width, which have to be equal."""

    def read(value: Any) -> int:
        both = tuple(value) if isinstance(value, list) else (value, value)
        if len(both) != 2 or both[0] != both[1] or not _is_whole(both[0], 1):
            raise ValueError(value)
        return both[0]

    return Setting(default, "one whole number of at least 1, the same for height and width", read)


def sizes(default: tuple[int, ...]) -> Setting:
    """A list of whole numbers of at least 1."""

    def read(value: Any) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or not value or not all(_is_whole(one, 1) for one in value):
            raise ValueError(value)
        return tuple(value)

    return Setting(default, "a list of whole numbers of at least 1", read)


def positive(default: float) -> Setting:
    """A number above 0."""

    def read(value: Any) -> float:
        if not _is_number(value) or value <= 0:
            raise ValueError(value)
        return float(value)

    return Setting(default, "a number above 0", read)


def rate(default: float | None, *, optional: bool = False) -> Setting:
    """A number from 0 to below 1, or null where it is optional."""

    def read(value: Any) -> float | None:
        if optional and value is None:
            return None
        if not _is_number(value) or not 0 <= value < 1:
            raise ValueError(value)
        return float(value)

    return Setting(default, "a number from 0 to below 1", read)


def flag(default: bool) -> Setting:
    """True or false."""
    return Setting(default, "true or false", _where(lambda value: isinstance(value, bool)))


def text(default: str) -> Setting:
    """Any text."""
    return Setting(default, "text", _where(lambda value: isinstance(value, str)))


def one_of(default: str, names: Mapping[str, tuple[str, ...]]) -> Setting:
    """One of the names that stand for something tlj has.

    Args:
      default: transformers' own.
      names: from what tlj calls it to what a config may.
    """
    ours = {theirs: mine for mine, several in names.items() for theirs in several}

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in ours:
            raise ValueError(value)
        return ours[value]

    return Setting(default, "text", read, tuple(ours))
