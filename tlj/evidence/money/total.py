"""What a model costs over its years in service: labels, tuning, training, pretraining, use, storage and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.money.prices import Prices
from tlj.evidence.money.spending import Rates, Spent, price, times
from tlj.evidence.runs import Arm, Comparison

ACCOUNTINGS = ("sunk", "included", "amortised")
YEARS = 5.0
PARTS = ("labels", "training", "inference", "storage", "people")


def totals(comparison: Comparison, prices: Prices | None, rates: Rates, spent: Sequence[Spent]) -> list[dict[str, Any]]:
    """Adds up what each arm costs at each label budget, over the years in service.

    Training is the finished runs of the cell and the tuning trials behind them, ``trials x C_trial + S x C_final``.
    The total is the sum of the parts that are priced, which ``parts`` names; a missing part is not zero, it is left
    out. With the pretraining ``sunk`` nothing is charged for it, ``included`` the whole, ``amortised`` its share.

    Args:
      comparison: the runs.
      prices: the user's, or None.
      rates: what was quoted for the device of the runs.
      spent: the accelerator-seconds of each cell.

    Returns:
      Rows ``{arm, budget, runs, labels, training, training_of_a_run, ..., pretraining, parts, total, years}`` in
      dollars; ``total`` and ``pretraining`` by accounting, None where they are not priced.
    """
    if prices is None:
        return []
    arms = {arm.name: arm for arm in comparison.arms}
    years = prices.value("lifetime.years", YEARS)
    fixed = {
        "inference": times(
            prices.value("inference.requests_per_year"), prices.value("inference.dollars_per_million"), 1e-6, years
        ),
        "storage": times(prices.value("storage.gigabytes"), prices.value("storage.dollars_per_gb_month"), 12.0, years),
        "people": times(prices.value("people.hours"), prices.value("people.dollars_per_hour")),
    }
    rows = []
    for cell in spent:
        parts = {
            "labels": label_dollars(cell.budget, prices),
            "training": price(cell.seconds, rates)["dollars"],
            **fixed,
        }
        priced = [name for name in PARTS if parts[name] is not None]
        pretraining = pretraining_by_accounting(arms[cell.arm], prices)
        base = sum(parts[name] for name in priced) if priced else None
        total = {
            accounting: None if base is None or extra is None else base + extra
            for accounting, extra in pretraining.items()
        }
        rows.append(
            {
                "arm": cell.arm,
                "budget": cell.budget,
                "runs": cell.runs,
                "training_of_a_run": price(cell.per_run, rates)["dollars"],
                **parts,
                "pretraining": pretraining,
                "parts": priced,
                "total": total,
                "years": years,
            }
        )
    return rows


def label_dollars(labels: float, prices: Prices) -> float | None:
    """Returns what labels cost: their number x the price of one x the workers who label each; None where not priced."""
    return times(labels, prices.value("labels.dollars_per_label"), prices.value("labels.workers_per_label", 1.0))


def needs_pretraining(arm: Arm) -> bool:
    """Whether an arm starts from pretrained parameters, or from their statistics."""
    return arm.init != "scratch" and not (not arm.init and arm.strategy == "scratch")


def pretraining_by_accounting(arm: Arm, prices: Prices) -> dict[str, float | None]:
    """Returns what an arm is charged for the pretraining, by accounting.

    Args:
      arm: the arm; one that starts from scratch is charged nothing.
      prices: the user's.

    Returns:
      ``{"sunk": 0, "included": P, "amortised": P / R}``, None where P or R is not priced.
    """
    if not needs_pretraining(arm):
        return dict.fromkeys(ACCOUNTINGS, 0.0)
    whole = prices.value("pretraining.dollars")
    if whole is None:
        whole = times(
            prices.value("pretraining.accelerator_hours"), prices.value("pretraining.dollars_per_accelerator_hour")
        )
    uses = prices.value("pretraining.reuses")
    return {"sunk": 0.0, "included": whole, "amortised": None if whole is None or uses is None else whole / uses}


def by_cell(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Returns rows by arm and label budget."""
    return {(row["arm"], row["budget"]): row for row in rows}
