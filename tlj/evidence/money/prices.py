"""Prices and other assumptions about money and energy: a dated TOML file of the user's, never constants of the code."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tlj.errors import InputError, unknown_name

FILE = "prices.toml"
UNDATED = "undated"
# What is above it is a slip, and sums of it would not be finite.
LARGEST = 1e15
DO = "see configs/prices.toml for an example"


@dataclass(frozen=True)
class Kind:
    """What a number of the file means: its words with its unit, and the smallest value it may have."""

    meaning: str
    lowest: float = 0.0
    above: bool = False


# What an accelerator may be quoted with, and what the other tables may hold.
ACCELERATOR = {
    "dollars_per_chip_hour": Kind("on-demand price, dollars per chip-hour"),
    "spot_factor": Kind("spot price as a share of the on-demand price"),
    "spot_restart_overhead": Kind("share of work that is done again after spot restarts"),
    "watts": Kind("mean power of a chip, watts"),
    "devices_per_chip": Kind("devices that JAX reports per chip", 1.0),
}
NUMBERS = {
    "energy.pue": Kind("power usage effectiveness of the data centre", 1.0),
    "energy.location_g_per_kwh": Kind("grid intensity where it runs (location-based), gCO2e per kWh"),
    "energy.market_g_per_kwh": Kind("grid intensity of what is bought (market-based), gCO2e per kWh"),
    "labels.dollars_per_label": Kind("price of one label by one worker, dollars"),
    "labels.workers_per_label": Kind("workers who label each example", 0.0, above=True),
    "pretraining.dollars": Kind("cost of the pretraining, dollars"),
    "pretraining.accelerator_hours": Kind("accelerator-hours of the pretraining"),
    "pretraining.dollars_per_accelerator_hour": Kind("price of an accelerator-hour of the pretraining, dollars"),
    "pretraining.reuses": Kind("uses that share one pretraining", 1.0),
    "inference.requests_per_year": Kind("requests per year"),
    "inference.dollars_per_million": Kind("cost of a million requests, dollars"),
    "storage.gigabytes": Kind("stored data and checkpoints, GB"),
    "storage.dollars_per_gb_month": Kind("storage, dollars per GB and month"),
    "people.hours": Kind("hours of people, per arm"),
    "people.dollars_per_hour": Kind("an hour of a person, dollars"),
    "lifetime.years": Kind("years in service", 0.0, above=True),
}
_SAID = ("source", "date", "assumed")


@dataclass(frozen=True)
class Quote:
    """A number with where it is from.

    Args:
      value: in the unit of its key.
      source: an address or a sentence; empty where none was given.
      date: when it was read, or ``undated``.
      assumed: whether nobody measured or published it.
    """

    value: float
    source: str = ""
    date: str = UNDATED
    assumed: bool = False


@dataclass(frozen=True)
class Accelerator:
    """One kind of accelerator: its name, the device kinds that JAX reports for it, and what was quoted for it."""

    name: str
    kinds: tuple[str, ...]
    quotes: Mapping[str, Quote] = field(default_factory=dict)

    def value(self, key: str, default: float | None = None) -> float | None:
        """Returns the number of a key of ``ACCELERATOR``, or the default where it was not quoted."""
        return self.quotes[key].value if key in self.quotes else default


@dataclass(frozen=True)
class Prices:
    """What a user's file says.

    Args:
      name: of the file.
      about: its first words about itself.
      accelerators: in the order of the file.
      quotes: by the keys of ``NUMBERS``.
    """

    name: str = ""
    about: str = ""
    accelerators: tuple[Accelerator, ...] = ()
    quotes: Mapping[str, Quote] = field(default_factory=dict)

    def value(self, key: str, default: float | None = None) -> float | None:
        """Returns the number of a key of ``NUMBERS``, or the default where the file has none."""
        return self.quotes[key].value if key in self.quotes else default

    def accelerator(self, kind: str | None) -> Accelerator | None:
        """Returns what was quoted for a device kind as JAX reports it, or None; capital letters do not matter."""
        same = (entry for entry in self.accelerators if kind and kind.lower() in map(str.lower, entry.kinds))
        return next(same, None)

    def having(self, key: str, quote: Quote) -> Prices:
        """Returns the prices with another quote for a key of ``NUMBERS``."""
        return dataclasses.replace(self, quotes={**self.quotes, key: quote})


def find_prices(directory: str | Path, given: str | Path | None = None) -> Prices | None:
    """Returns the prices that a command names, else those that lie in the comparison, else None.

    Args:
      directory: of the comparison.
      given: the file of ``--prices``, or None.

    Raises:
      InputError: the file cannot be read or used.
    """
    if given is not None:
        return read_prices(given)
    path = Path(directory) / FILE
    return read_prices(path) if path.is_file() else None


def read_prices(path: str | Path) -> Prices:
    """Reads a file of prices.

    Every table may have a ``source``, a ``date`` and ``assumed``, which hold for its numbers; a number may have its own
    as ``{value = 1.1, source = "...", date = 2026-01-31}``. Everything is optional.

    Args:
      path: of the TOML file.

    Raises:
      InputError: the file cannot be read, or holds a key or value that means nothing.
    """
    # A shell leaves the ~ of --prices=~/prices.toml as it is.
    path = Path(os.path.expanduser(path))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), do=f"give a TOML file of prices; {DO}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as TOML ({error})", where=str(path), do=DO) from None
    tables = sorted({key.partition(".")[0] for key in NUMBERS})
    _known(content, [*tables, "accelerators", "about", "date"], f"{path}")
    said = {"date": content.get("date", UNDATED)}
    quotes = {}
    for name in tables:
        table = _table(content.get(name, {}), f"{path}: {name}")
        kinds = {key.partition(".")[2]: kind for key, kind in NUMBERS.items() if key.partition(".")[0] == name}
        _known(table, [*kinds, *_SAID], f"{path}: {name}")
        found = _quotes(table, kinds, said, f"{path}: {name}")
        quotes |= {f"{name}.{key}": quote for key, quote in found.items()}
    about = content.get("about", "")
    if not isinstance(about, str):
        raise InputError("no text", where=f"{path}: about", do=DO)
    return Prices(path.name, about, _accelerators(content.get("accelerators", []), said, str(path)), quotes)


def _accelerators(entries: Any, said: Mapping, path: str) -> tuple[Accelerator, ...]:
    if not isinstance(entries, list):
        raise InputError("no list of tables", where=f"{path}: accelerators", do="write [[accelerators]]")
    read, owner = [], {}
    for index, entry in enumerate(entries):
        where = f"{path}: accelerators[{index}]"
        _known(_table(entry, where), ["name", "kinds", *ACCELERATOR, *_SAID], where)
        kinds = entry.get("kinds")
        if not (isinstance(kinds, list) and kinds and all(isinstance(kind, str) for kind in kinds)):
            do = 'list the device kinds that JAX reports, such as kinds = ["TPU v5 lite"]'
            raise InputError("no device kinds", where=f"{where}.kinds", do=do)
        name = entry.get("name", kinds[0])
        if not isinstance(name, str):
            raise InputError("no text", where=f"{where}.name", do=DO)
        for kind in kinds:
            if owner.setdefault(kind.lower(), index) != index:
                raise InputError(f"{kind!r} stands twice", where=f"{where}.kinds", do="keep one of them")
        read.append(Accelerator(name, tuple(kinds), _quotes(entry, ACCELERATOR, said, where)))
    return tuple(read)


def _quotes(table: Mapping, kinds: Mapping[str, Kind], said: Mapping, where: str) -> dict[str, Quote]:
    said = {**said, **{key: table[key] for key in _SAID if key in table}}
    return {key: _quote(table[key], kind, said, f"{where}.{key}") for key, kind in kinds.items() if key in table}


def _quote(value: Any, kind: Kind, said: Mapping, where: str) -> Quote:
    if isinstance(value, dict):
        _known(value, ["value", *_SAID], where)
        said, value = {**said, **value}, value.get("value")
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or value in (math.inf, -math.inf)
        or value != value
    ):
        raise InputError("no number", where=where, do=f"give {kind.meaning}")
    if abs(value) > LARGEST:
        raise InputError(f"more than {LARGEST:g} for {kind.meaning}", where=where, do="give less")
    if value < kind.lowest or (kind.above and value == kind.lowest):
        least = f"more than {kind.lowest:g}" if kind.above else f"{kind.lowest:g} or more"
        raise InputError(f"{value:g} for {kind.meaning}", where=where, do=f"give {least}")
    source, day, assumed = said.get("source", ""), said.get("date", UNDATED), said.get("assumed", False)
    if not isinstance(source, str) or not isinstance(assumed, bool) or not isinstance(day, (str, date, datetime)):
        raise InputError("source and date are texts, assumed is true or false", where=where, do=DO)
    return Quote(float(value), source, str(day), assumed)


def _table(value: Any, where: str) -> Mapping:
    if not isinstance(value, dict):
        raise InputError("no table", where=where, do=DO)
    return value


def _known(table: Mapping, names: list[str], where: str) -> None:
    for key in table:
        if key not in names:
            raise unknown_name("key", key, names, where=where)
