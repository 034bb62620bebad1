"""Chip-hours and dollars that follow from a predicted step time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj.evidence.money.prices import Quote, read_prices
from tlj.named_paths import named_path

FORMULA = "predicted chip-hours = steps x predicted step x chips / 3600; dollars = chip-hours x price of a chip-hour"


def hours_and_dollars(
    config: ConfigDict, row: Mapping[str, Any], counted: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Returns what the run and the comparison of a config would take on a slice.

    Args:
      config: of the experiment, whose ``prices`` may name a file.
      row: of the slice.
      counted: see ``tlj.benchmark.topology.topologies.count``.

    Returns:
      ``predicted_run`` and ``predicted_comparison``, each with ``steps``, ``chip_hours``, ``hours``, ``dollars``;
      and ``price`` (``dollars_per_chip_hour``, ``source``, ``date``, ``file``), or None where the file has none.
    """
    quote = chip_price(config, row["device_kind"])
    found: dict[str, Any] = {"price": quote and _told(config, quote)}
    for what, shares in counted.items():
        steps = math.fsum((share["runs"] + share["trials"]) * share["reference_steps"] for share in shares)
        hours = None if row["predicted_step_s"] is None else steps * row["predicted_step_s"] / 3600
        chip_hours = None if hours is None else hours * row["chips"]
        found[f"predicted_{what}"] = {
            "steps": steps,
            "hours": hours,
            "chip_hours": chip_hours,
            "dollars": None if chip_hours is None or quote is None else chip_hours * quote.value,
        }
    return found


def chip_price(config: ConfigDict, device_kind: str) -> Quote | None:
    """Returns the price of an hour of a chip by the file that the config names, or None where it says none.

    Raises:
      InputError: where the file cannot be read or used.
    """
    if not config.prices:
        return None
    quoted = read_prices(named_path(config.prices, "config.prices")).accelerator(device_kind)
    return quoted and quoted.quotes.get("dollars_per_chip_hour")


def _told(config: ConfigDict, quote: Quote) -> dict[str, Any]:
    return {
        "dollars_per_chip_hour": quote.value,
        "source": quote.source,
        "date": quote.date,
        "assumed": quote.assumed,
        "file": config.prices,
    }
