"""The section on cost: its words, and its tables of money, energy and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.money.total import ACCOUNTINGS, PARTS
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words import metric_words
from tlj.evidence.words.formatting import seconds
from tlj.evidence.words.money import NOTHING, carbon, dollars, dollars_interval, energy
from tlj.evidence.words.wording import MINUS, count, listed

Summary = Mapping[str, Any]
Row = Mapping[str, Any]
ACCOUNTING_WORDS = {"sunk": "sunk", "included": "included", "amortised": "shared by its uses"}
PART_WORDS = {
    "labels": "labels",
    "training": "training with its tuning trials",
    "inference": "inference",
    "storage": "storage",
    "people": "people",
}


def cost_context(comparison: Comparison, summary: Summary) -> dict[str, Any]:
    """Returns what the section shows besides ``summary["cost"]``, as words.

    Args:
      comparison: the runs.
      summary: its ``summary.json``.
    """
    cost = summary["cost"]
    used = [name for name in ACCOUNTINGS if any(row["total"][name] is not None for row in cost["totals"])]
    charged = any(row["pretraining"]["included"] for row in cost["totals"])
    used = used if charged else used[:1]
    return {
        "words": _cost_words(cost),
        "cached_words": _cached_words(cost),
        "prices": _price_words(cost),
        "tuned": bool(cost["tuning_trials"]["declared"]),
        "money": _money(cost),
        "total_words": _total_words(cost, charged),
        "total_heads": [ACCOUNTING_WORDS[name] for name in used] if charged else ["Total"],
        "part_heads": [part for part in PARTS if any(row[part] is not None for row in cost["totals"])],
        "totals": _totals(cost["totals"], used),
        "value_words": _value_words(cost, summary["twin"]),
        "values": [_value(row) for row in cost["label_value"]],
        "assumptions": [{**row, "value": f"{row['value']:,.6g}"} for row in cost["assumptions"]],
        "pareto": _pareto_rows(cost, Metric(summary["metric"])),
        "alt": _alternative(cost, Metric(summary["metric"])),
    }


def _cost_words(cost: Mapping) -> str:
    if not any(row["step_s"] for row in cost["arms"]):
        timed = "Step times have not been measured yet."
    else:
        timed = (
            f"Step time is the median [5th, 95th percentile] of windows measured alone on the idle machine "
            f"({cost['devices']} × {cost['device']}); accelerator-seconds are step time × steps × devices."
        )
    relative = f" Relative figures are to {cost['reference']}, which trains everything." if cost["reference"] else ""
    trials = cost["tuning_trials"]
    tuned = f" {trials['finished']} of {trials['declared']} tuning trials are finished." if trials["declared"] else ""
    return timed + relative + tuned + " Training the source of the backbone is not included."


def _cached_words(cost: Mapping) -> str:
    cached = cost.get("cached")
    if not cached:
        return ""
    share = cached["flops_with"] / cached["flops_without"] if cached["flops_without"] else 1.0
    return (
        f"Activations that do not change were computed once, for {cached['examples']:,} examples in "
        f"{seconds(cached['seconds'])} and {cached['flops']:.3g} FLOPs, and kept in {cached['bytes']:,} bytes. "
        f"With that charged once to the comparison, all runs took {cached['flops_with']:.3g} FLOPs, {share:.3g} of the "
        f"{cached['flops_without']:.3g} that they would have taken without. FLOPs above, relative ones and those that "
        "a parity goes by are without; step times are of the steps as they were taken, unless the comparison has a "
        "parity of seconds, and do not include making the activations."
    )


def _price_words(cost: Mapping) -> str:
    prices = cost["prices"]
    if prices is None:
        return (
            "Money and energy are not told, because no prices were given: put a dated prices.toml into the folder of "
            "the comparison, or give one with tlj report DIR --prices=FILE; configs/prices.toml is an example."
        )
    if prices["accelerator"] is None and prices["accelerators"]:
        known = listed(prices["accelerators"])
        return f"{prices['file']} has no price for the device of these runs, {prices['device_kind']}; it has {known}."
    said = f"Prices are those of {prices['file']}" if prices["file"] else "Prices are those given with the command"
    about = f" ({prices['about']})" if prices["about"] else ""
    return f"{said}{about}; each stands below with its source and date."


def _money(cost: Mapping) -> list[Row]:
    rows = [{**row, "name": row["arm"]} for row in cost["arms"]]
    if all(row["dollars"] is None and row["kwh"] is None for row in rows):
        return []
    return [
        {
            "name": row["name"],
            "hours": seconds(None if row["accelerator_hours"] is None else 3600 * row["accelerator_hours"]),
            "dollars": dollars(row["dollars"]),
            "spot": dollars(row["spot_dollars"]),
            "energy": energy(row["kwh"]),
            "location": carbon(row["kg_co2e_location"]),
            "market": carbon(row["kg_co2e_market"]),
        }
        for row in [*rows, {**cost, "name": "All arms"}]
    ]


def _total_words(cost: Mapping, charged: bool) -> str:
    if not cost["totals"]:
        return ""
    row = cost["totals"][0]
    inside = listed(PART_WORDS[part] for part in row["parts"])
    missing = [PART_WORDS[part] for part in PARTS if part not in row["parts"]]
    without = f" Not priced and left out: {listed(missing)}." if missing else ""
    pretraining = (
        " The pretraining is counted as sunk, as included whole, and as shared by its uses."
        if charged
        else " The pretraining has no price here and counts as sunk."
    )
    return (
        f"What a model costs over {row['years']:g} years, in dollars: {inside}; training is all seeds of the cell, "
        f"since that is what was run.{without}{pretraining}"
    )


def _totals(rows: Sequence[Row], used: Sequence[str]) -> list[Row]:
    return [
        {
            "arm": row["arm"],
            "budget": row["budget"],
            "parts": [dollars(row[part]) for part in PARTS if any(other[part] is not None for other in rows)],
            "totals": [dollars(row["total"][name]) for name in used],
        }
        for row in rows
        if row["parts"]
    ]


def _value_words(cost: Mapping, twin: str) -> str:
    prices = cost["prices"] or {}
    price = prices.get("dollars_per_label")
    each = f" at {dollars(price)} per label and worker" if price is not None else ""
    workers = f", {prices['workers_per_label']:g} workers per label" if prices.get("workers_per_label") else ""
    return (
        f"Labels that an arm saves against {twin}, by {_measure(cost)}, and what they are worth{each}{workers}: "
        "V = labels saved × price × workers + what less (or more) its training costs, with the interval of the labels "
        "saved. The break-even is the price per label and worker from which the arm pays. Pretraining counts as sunk."
    )


def _measure(cost: Mapping) -> str:
    rows = cost["label_value"]
    return "test loss" if rows and rows[0]["measure"] != "error" else "test error"


def _value(row: Row) -> dict[str, Any]:
    bound = {"at least": "≥ ", "at most": "≤ ", None: ""}
    ends = zip(row["interval"] or [], row["interval_bounds"], strict=False)
    interval = f"[{', '.join(bound[mark] + _signed(end) for end, mark in ends)}]" if row["interval"] else ""
    value, even = row["value"]["sunk"], row["break_even"]["sunk"]
    return {
        "arm": row["arm"],
        "budget": row["budget"],
        "saved": bound[row["bound"]] + _signed(row["labels_saved"]),
        "saved_interval": interval,
        "worth": bound[row["bound"]] + dollars(row["label_dollars"]) if row["label_dollars"] is not None else NOTHING,
        "training": dollars(row["extra_training"]["sunk"]),
        "value": bound[row["bound"]] + dollars(value["value"]) if value else NOTHING,
        "value_interval": dollars_interval(value["interval"]) if value else "",
        "break_even": _break_even(even),
        "break_even_interval": dollars_interval(even["interval"]) if even else "",
    }


def _break_even(even: Mapping | None) -> str:
    if even is None:
        return NOTHING
    words = {"always": "pays at any price", "never": "pays at no price", "unknown": "cannot be told"}
    if even["pays"] in words:
        return words[even["pays"]]
    bound = {"at least": "≥ ", "at most": "≤ ", None: ""}[even["bound"]]
    return f"{even['pays']} {bound}{dollars(even['price'])}"


def _signed(labels: float) -> str:
    return "0" if not labels else f"{MINUS if labels < 0 else '+'}{count(abs(labels))}"


def _pareto_rows(cost: Mapping, metric: Metric) -> list[Row]:
    return [
        {
            "arm": row["arm"],
            "budget": row["budget"],
            "mean": metric_words.value(row["mean"], metric),
            "interval": metric_words.values(row["interval"], metric),
            "seconds": seconds(row["accelerator_seconds_per_run"]),
            "front": _yes(row["on_front"]),
            "dollars": dollars(row["dollars"]),
            "front_of_dollars": _yes(row["on_front_of_dollars"]),
        }
        for row in cost["pareto"]
        if row["mean"] is not None and row["accelerator_seconds_per_run"] is not None
    ]


def _yes(on_front: bool | None) -> str:
    return NOTHING if on_front is None else "yes" if on_front else "no"


def _alternative(cost: Mapping, metric: Metric) -> str:
    """Names the front at the largest number of labels, and that of dollars."""
    name = metric_words.named(metric)
    front = [row for row in cost["pareto"] if row["on_front"]]
    if not front:
        return ""
    most = max(row["budget"] for row in front)
    here = sorted((r for r in front if r["budget"] == most), key=lambda r: r["accelerator_seconds_per_run"])
    said = listed(
        f"{r['arm']} ({metric_words.value(r['mean'], metric)} for {seconds(r['accelerator_seconds_per_run'])})"
        for r in here
    )
    text = (
        f"Charts of test {name} over cost. At {most:,} labels nothing is better at less accelerator time than {said}."
    )
    paid = sorted((r for r in cost["pareto"] if r["on_front_of_dollars"]), key=lambda r: r["dollars"])
    if paid:
        text += " By dollars the front is " + listed(f"{r['arm']} at {r['budget']:,}" for r in paid) + "."
    return text
