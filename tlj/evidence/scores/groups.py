"""The audit by group: accuracy, gaps and rates of every arm, and whether transfer widens the gap of its twin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from tlj.errors import InputError
from tlj.evidence.judging.statistics import mean_interval, paired_difference
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.gap_null import GapNull, gap_nulls
from tlj.evidence.scores.group_counts import GroupCounts, Grouping

# Rates of fewer examples say little; such groups are listed and not used.
FEWEST = 30
_NORMAL = 1.959963984540054

Cells = Mapping[tuple[str, int], Mapping[int, GroupCounts]]


def group_audit(comparison: Comparison) -> dict[str, Any] | None:
    """Returns the audit by group of a comparison.

    Args:
      comparison: the runs.

    Returns:
      A JSON object, or None where the test set has no groups. ``cells`` hold accuracy by group (``interval_of`` says
      whether the interval is Wilson's, of one run, or the t interval over seeds), the worst group, the gap with its
      permutation null, and three differences of rates: equalised odds, demographic parity and equal opportunity.
      ``differences`` hold the gap of each arm less that of the twin, paired by seed.

    Raises:
      InputError: runs that were scored on the same examples have them in other groups.
    """
    cells = _cells(comparison)
    if not cells:
        return None
    first = next(iter(next(iter(cells.values())).values())).grouping
    used = np.flatnonzero(first.sizes >= FEWEST)
    facts = {
        "least": FEWEST,
        "used": [{"group": first.names[i], "examples": int(first.sizes[i])} for i in used],
        "suppressed": [
            {"group": name, "examples": int(size)}
            for name, size in zip(first.names, first.sizes, strict=True)
            if size < FEWEST
        ],
        "ungrouped": int(np.sum(first.codes < 0)),
        "classes": int(first.labelled.shape[1]),
        "cells": [],
        "differences": [],
    }
    if len(used) < 2:
        return facts
    nulls = _nulls(first, used, cells)
    facts["permutations"] = next(iter(nulls.values())).permutations
    facts["cells"] = [_cell(arm, budget, cell, used, nulls[arm, budget]) for (arm, budget), cell in cells.items()]
    facts["differences"] = _differences(comparison, cells, used)
    return facts


def wilson_interval(hits: int, examples: int) -> list[float]:
    """Returns the 95 % interval of a share (Wilson 1927), which stays within 0 and 1.

    Args:
      hits: examples that count.
      examples: all of them, at least one.
    """
    share, square = hits / examples, _NORMAL**2 / examples
    centre = (share + square / 2) / (1 + square)
    half_width = _NORMAL * math.sqrt(share * (1 - share) / examples + square / (4 * examples)) / (1 + square)
    return [max(centre - half_width, 0.0), min(centre + half_width, 1.0)]


def direction(interval: Sequence[float] | None) -> str:
    """Returns what an interval of a paired difference of gaps says: ``widens``, ``narrows`` or ``undecided``."""
    if interval is None:
        return "undecided"
    return "widens" if interval[0] > 0 else "narrows" if interval[1] < 0 else "undecided"


def _cells(comparison: Comparison) -> Cells:
    cells: dict[tuple[str, int], dict[int, GroupCounts]] = {}
    grouping = None
    for arm in comparison.arms:
        for budget in comparison.budgets:
            counts = {seed: scores.groups for seed, scores in comparison.cell(arm.name, budget).items()}
            counts = {seed: found for seed, found in counts.items() if isinstance(found, GroupCounts)}
            for found in counts.values():
                grouping = grouping or found.grouping
                if found.grouping is not grouping and not np.array_equal(found.grouping.codes, grouping.codes):
                    raise InputError(
                        "two runs have the same test examples in other groups",
                        where=str(comparison.directory),
                        do="run `tlj compare` again in another workdir",
                    )
            if counts:
                cells[arm.name, budget] = counts
    return cells


def _nulls(grouping: Grouping, used: Int[np.ndarray, " used"], cells: Cells) -> dict[tuple[str, int], GapNull]:
    rows = np.isin(grouping.codes, used)
    codes = np.searchsorted(used, grouping.codes[rows])
    right = [np.stack([counts.unpacked()[rows] for counts in cell.values()]) for cell in cells.values()]
    return dict(zip(cells, gap_nulls(codes, right), strict=True))


def _gap(counts: GroupCounts, used: Int[np.ndarray, " used"]) -> float:
    return float(np.ptp(counts.accuracy[used]))


def _cell(
    arm: str, budget: int, cell: Mapping[int, GroupCounts], used: Int[np.ndarray, " used"], null: GapNull
) -> dict[str, Any]:
    runs = list(cell.values())
    groups = [_group(runs, int(i)) for i in used]
    worst = min(groups, key=lambda row: row["accuracy"])
    lowest = mean_interval(np.array([counts.accuracy[used].min() for counts in runs]))
    gap = mean_interval(np.array([_gap(counts, used) for counts in runs]))
    rates = [_rate_differences(counts, used) for counts in runs]
    return {
        "arm": arm,
        "budget": budget,
        "seeds": list(cell),
        "interval_of": "t over seeds" if len(runs) > 1 else "Wilson",
        "groups": groups,
        "worst": {"group": worst["group"], "accuracy": lowest.mean, "interval": lowest.interval},
        "gap": {"mean": gap.mean, "interval": gap.interval, "null_mean": null.mean, "p": null.p},
        **{name: _over_seeds([found[name] for found in rates]) for name in rates[0]},
    }


def _group(runs: Sequence[GroupCounts], place: int) -> dict[str, Any]:
    examples = int(runs[0].grouping.sizes[place])
    accuracy = mean_interval(np.array([counts.accuracy[place] for counts in runs]))
    interval = accuracy.interval or wilson_interval(int(runs[0].hits[place].sum()), examples)
    row = {"group": runs[0].grouping.names[place], "examples": examples, "accuracy": accuracy.mean}
    row["interval"] = interval
    if runs[0].said.shape[1] == 2:
        # The second class is the positive one.
        row["true_positive_rate"] = _mean([counts.true_positive_rates[place, 1] for counts in runs])
        row["false_positive_rate"] = _mean([counts.false_positive_rates[place, 1] for counts in runs])
    return row


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if np.isfinite(values).all() else None


def _rate_differences(counts: GroupCounts, used: Int[np.ndarray, " used"]) -> dict[str, float | None]:
    """Differences of rates between groups (Hardt et al. 2016): of several classes, each against the rest."""
    opportunity = _ranges(counts.true_positive_rates[used])
    false = _ranges(counts.false_positive_rates[used])
    parity = _ranges(counts.selection_rates[used])
    odds = np.fmax(opportunity, false)
    found = {"equalised_odds": odds, "demographic_parity": parity, "equal_opportunity": opportunity}
    if counts.said.shape[1] == 2:
        return {name: _finite(values[1]) for name, values in found.items()}
    return {name: _reduced(values, np.max) for name, values in found.items()} | {
        f"{name}_mean": _reduced(values, np.mean) for name, values in found.items()
    }


def _ranges(rates: Float64[np.ndarray, "group class"]) -> Float64[np.ndarray, " class"]:
    """The largest less the smallest rate of each class; NaN where fewer than two groups have one."""
    known = np.isfinite(rates)
    largest = np.where(known, rates, -np.inf).max(axis=0)
    smallest = np.where(known, rates, np.inf).min(axis=0)
    return np.where(known.sum(axis=0) > 1, largest - smallest, np.nan)


def _reduced(values: Float64[np.ndarray, " class"], reduce: Any) -> float | None:
    known = values[np.isfinite(values)]
    return float(reduce(known)) if len(known) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _over_seeds(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    estimate = mean_interval(np.array(known))
    return {"mean": estimate.mean, "interval": estimate.interval}


def _differences(comparison: Comparison, cells: Cells, used: Int[np.ndarray, " used"]) -> list[dict[str, Any]]:
    rows = []
    for budget in comparison.budgets:
        twin = cells.get((comparison.twin, budget), {})
        for arm in (arm.name for arm in comparison.arms if arm.name != comparison.twin):
            seeds = [seed for seed in cells.get((arm, budget), {}) if seed in twin]
            if not seeds:
                continue
            gaps = np.array([_gap(cells[arm, budget][seed], used) for seed in seeds])
            difference = paired_difference(gaps, np.array([_gap(twin[seed], used) for seed in seeds]))
            rows.append(
                {
                    "arm": arm,
                    "budget": budget,
                    "seeds": seeds,
                    "difference": difference.estimate.mean,
                    "interval": difference.estimate.interval,
                    "p": difference.p,
                    "p_floor": difference.p_floor,
                    "word": direction(difference.estimate.interval),
                }
            )
    return rows
