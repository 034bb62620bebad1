"""Which values a configuration key may take: kinds, each with its name in words and its reading of text."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import decimal
import math
import operator
import re
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Kind:
    """The values a key takes.

    Attributes:
      expected: the values in words, for the error message: "a whole number of at least 1".
      convert: returns the value in its own type, from that type or from text; raises ValueError or TypeError.
      names: the names to look for the nearest in, where the value is a name.
      mixed: whether values of several types are allowed, so that the default's type must not be enforced.
    """

    expected: str
    convert: Callable[[object], object]
    names: tuple[str, ...] = ()
    mixed: bool = False


def whole(least: int) -> Kind:
    """Whole numbers of at least ``least``."""

    def convert(value):
        if isinstance(value, bool):
            raise TypeError(value)
        number = int(value) if isinstance(value, str) else operator.index(value)
        if number < least:
            raise ValueError(value)
        return number

    return Kind(f"a whole number of at least {least}", convert)


def number(expected: str, allowed: Callable[[float], bool]) -> Kind:
    """Finite numbers that are allowed."""

    def convert(value):
        if isinstance(value, bool):
            raise TypeError(value)
        number = float(value)
        if not (math.isfinite(number) and allowed(number)):
            raise ValueError(value)
        return number

    return Kind(expected, convert)


def text(expected: str, *, may_be_empty: bool = False) -> Kind:
    """Text, not blank unless it may be empty."""

    def convert(value):
        if not isinstance(value, str):
            raise TypeError(value)
        if not (value.strip() or may_be_empty):
            raise ValueError(value)
        return value

    return Kind(expected, convert)


def name(expected: str) -> Kind:
    """Text that is not blank; a whole number is the name that it spells, as classes often have."""
    words = text(expected)
    return Kind(expected, lambda value: words.convert(str(value) if isinstance(value, int) else value))


def one_of(*names: str) -> Kind:
    """One of a few names."""

    def convert(value):
        if value not in names:
            raise ValueError(value)
        return value

    return Kind(f"one of {', '.join(names)}", convert, names)


def or_all(kind: Kind) -> Kind:
    """What ``kind`` takes, or ``all``."""

    def convert(value):
        return "all" if isinstance(value, str) and value.strip() == "all" else kind.convert(value)

    return Kind(f"{kind.expected} or 'all'", convert, mixed=True)


def step() -> Kind:
    """A step of a run: ``latest``, ``best`` or a number."""
    names = ("latest", "best")

    def convert(value):
        return value if value in names else whole(0).convert(value)

    return Kind("latest, best or a whole number of at least 0", convert, names, mixed=True)


def parse_literal(text: str) -> object:
    """Returns the Python literal that ``text`` spells, or the text itself where it spells none.

    ``true`` and ``false`` are read as booleans, because the text ``"false"`` would count as true.
    """
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def spell(value: object) -> str:
    """Returns a value as a command line spells it: ``0,1,2`` for a tuple, and text without quotes."""
    return ",".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)


def parse_items(text: str) -> list | tuple:
    """Returns the items that a list on the command line spells."""
    value = parse_literal(text)
    if isinstance(value, (list, tuple)):
        return value
    # `scratch,full` and `10,25,all` spell no Python literal, and a lone value is a list of one.
    return [item.strip() for item in text.strip().strip("()[]").split(",") if item.strip()]


def list_of(kind: Kind, *, may_be_empty: bool = False) -> Kind:
    """Lists of what ``kind`` takes, without repeats, and not empty unless they may be."""

    def convert(value):
        if isinstance(value, str):
            value = parse_items(value)
        if not isinstance(value, (list, tuple)):
            raise TypeError(value)
        items = tuple(kind.convert(item) for item in value)
        if len(set(items)) < len(items) or not (items or may_be_empty):
            raise ValueError(value)
        return items

    kinds = "a list without repeats" if may_be_empty else "a list, neither empty nor with repeats,"
    return Kind(f"{kinds} of {kind.expected}", convert)


def _split_patterns(text: str) -> list | tuple:
    value = parse_literal(text)
    if isinstance(value, (list, tuple)):
        return value
    # Brackets belong to a pattern, and so does a comma in one.
    return [item.strip() for item in re.split(r",(?![^(\[{]*[)\]}])", text) if item.strip()]


def patterns() -> Kind:
    """Lists of regular expressions, possibly empty."""

    def convert(value):
        items = _split_patterns(value) if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise TypeError(value)
        try:
            return tuple(re.compile(item).pattern for item in items)
        except re.error as error:
            raise ValueError(value) from error

    return Kind("a list of regular expressions", convert)


def yes_no(value: object) -> bool:
    """Returns a boolean, from itself or from text."""
    if isinstance(value, str):
        value = parse_literal(value)
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def parse_warmup(value: object) -> tuple[float, str]:
    """Returns the number and the unit of a warm-up such as ``10 steps``, ``0.5 epochs`` or ``2000 examples``.

    A bare number is of steps; steps and examples are whole.

    Raises:
      ValueError: for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(step|epoch|example)?s?\s*", str(value))
    if isinstance(value, bool) or not match or (match[2] != "epoch" and float(match[1]) % 1):
        raise ValueError(value)
    return float(match[1]), f"{match[2] or 'step'}s"


def warmup(value: object) -> str:
    """Returns the length of a warm-up in one spelling."""
    number, unit = parse_warmup(value)
    # Without an exponent, which a length cannot be written with.
    return f"{int(number) if number.is_integer() else format(decimal.Decimal(repr(number)), 'f')} {unit}"


def rules(value: object) -> tuple[tuple[str, str], ...]:
    """Returns (pattern, group) pairs, from themselves or from the Python literal that spells them."""
    items = parse_items(value) if isinstance(value, str) else value
    if not all(isinstance(item, (list, tuple)) for item in (items, *items)):
        raise TypeError(value)
    pairs = tuple(tuple(pair) for pair in items)
    if not all(len(pair) == 2 and all(isinstance(item, str) and item for item in pair) for pair in pairs):
        raise ValueError(value)
    return pairs


def date(value: object) -> str:
    """Returns a date as ISO 8601 writes it, ``2027-01-31``; nothing stays nothing."""
    if not isinstance(value, str):
        raise TypeError(value)
    return datetime.date.fromisoformat(value.strip()).isoformat() if value.strip() else ""


def parse_range(value: str) -> tuple[float, float, str]:
    """Returns the ends of a range and its scale, ``log`` or ``linear``: ``1e-4 to 1e-1``, ``0 to 0.3 linear``.

    Raises:
      ValueError: for anything else, an empty range, or a logarithmic one that does not start above 0.
    """
    match = re.fullmatch(r"\s*(\S+)\s+to\s+(\S+?)(?:\s+(log|linear))?\s*", value)
    if not match:
        raise ValueError(value)
    low, high, scale = float(match[1]), float(match[2]), match[3] or "log"
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (scale == "log" and low <= 0):
        raise ValueError(value)
    return low, high, scale


def search_range(value: object) -> object:
    """Returns what a search draws from: a range in one spelling, or the values of a list, none of them twice."""
    if isinstance(value, str) and " to " in value:
        low, high, scale = parse_range(value)
        return f"{low:g} to {high:g} {scale}"
    if isinstance(value, str):
        value = parse_items(value)
    if not isinstance(value, (list, tuple)):
        raise TypeError(value)
    items = tuple(parse_literal(item) if isinstance(item, str) else item for item in value)
    if not all(isinstance(item, (bool, int, float, str)) for item in items):
        raise TypeError(value)
    if len(set(map(repr, items))) < max(len(items), 2):
        raise ValueError(value)
    return items
