"""Every number about money and energy that was taken from the user's file, with where it is from."""

from __future__ import annotations

from typing import Any

from tlj.evidence.money.prices import ACCELERATOR, NUMBERS, Prices, Quote
from tlj.evidence.money.spending import Rates
from tlj.evidence.money.total import YEARS


def assumptions(prices: Prices | None, rates: Rates) -> list[dict[str, Any]]:
    """Lists what the figures of money and energy rest on.

    Args:
      prices: the user's, or None.
      rates: what was quoted for the device of the runs.

    Returns:
      Rows ``{key, meaning, value, source, date, assumed}``: of the accelerator of the runs, then the rest of the file,
      then what the file does not say and was assumed.
    """
    if prices is None:
        return []
    rows = []
    if rates.accelerator:
        name, quotes = rates.accelerator.name, rates.accelerator.quotes
        rows += [
            _row(f"{name}: {key}", kind.meaning, quotes[key]) for key, kind in ACCELERATOR.items() if key in quotes
        ]
    rows += [_row(key, kind.meaning, prices.quotes[key]) for key, kind in NUMBERS.items() if key in prices.quotes]
    absent = Quote(0.0, "not in the file", "", True)
    if "labels.dollars_per_label" in prices.quotes and "labels.workers_per_label" not in prices.quotes:
        key = "labels.workers_per_label"
        rows.append(_row(key, NUMBERS[key].meaning, _of(absent, 1.0)))
    used_for_years = ("inference.dollars_per_million", "storage.dollars_per_gb_month")
    if any(key in prices.quotes for key in used_for_years) and "lifetime.years" not in prices.quotes:
        rows.append(_row("lifetime.years", NUMBERS["lifetime.years"].meaning, _of(absent, YEARS)))
    return rows


def _of(quote: Quote, value: float) -> Quote:
    return Quote(value, quote.source, quote.date, quote.assumed)


def _row(key: str, meaning: str, quote: Quote) -> dict[str, Any]:
    return {
        "key": key,
        "meaning": meaning,
        "value": quote.value,
        "source": quote.source or "no source given",
        "date": quote.date,
        "assumed": quote.assumed,
    }
