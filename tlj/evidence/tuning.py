"""The trials of a search, from their files: the best by validation, the edges it lies at, and what n trials give."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from tlj.evidence.run_files import failure
from tlj.metric_names import lower_is_better

# A best value in the outer tenth of what was searched may have a better one beyond it.
EDGE = 0.1


@dataclass(frozen=True)
class Trial:
    """One setting that a search tried for an arm at a label budget.

    Args:
      arm: the arm.
      budget: its labels.
      number: of the trial, from 0; extensions count on.
      values: by dotted key.
      ranges: what each key was drawn from: ``[low, high, scale]``, or the values it was chosen among.
      results: the validation metric by seed; None where the run failed or has no finite value.
      unfinished: the seeds that are neither done nor failed.
      paths: of the runs, below the comparison.
    """

    arm: str
    budget: int
    number: int
    values: Mapping[str, Any]
    ranges: Mapping[str, Any]
    results: Mapping[int, float | None]
    unfinished: tuple[int, ...]
    paths: tuple[str, ...]

    @property
    def mean(self) -> float | None:
        """The mean of the metric over its seeds; None unless all of them gave one."""
        values = list(self.results.values())
        if self.unfinished or not values or any(value is None for value in values):
            return None
        return float(np.mean(values))

    @property
    def failed(self) -> bool:
        """Whether a run of it ended without a finite result."""
        return any(value is None for value in self.results.values())


def read_trials(directory: Path, rows: Iterable[Mapping[str, Any]], metric: str) -> tuple[Trial, ...]:
    """Reads what became of the trials of a search.

    Args:
      directory: of the comparison.
      rows: ``tuning.trials`` of ``comparison.json``: one per trial and seed.
      metric: a validation metric.

    Returns:
      The trials, in the order of the rows.
    """
    grouped: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["arm"], int(row["budget"]), int(row["trial"])), []).append(row)
    trials = []
    for (arm, budget, number), seeds in grouped.items():
        found = {int(row["seed"]): _result(Path(directory) / row["path"], metric) for row in seeds}
        trials.append(
            Trial(
                arm=arm,
                budget=budget,
                number=number,
                values=seeds[0]["values"],
                ranges=seeds[0]["ranges"],
                results={seed: value for seed, (ended, value) in found.items() if ended},
                unfinished=tuple(seed for seed, (ended, _) in found.items() if not ended),
                paths=tuple(row["path"] for row in seeds),
            )
        )
    return tuple(trials)


def _result(run: Path, metric: str) -> tuple[bool, float | None]:
    """Whether a run has ended, and its metric."""
    try:
        value = json.loads((run / "summary.json").read_text())["metrics"].get(metric)
    except (OSError, ValueError, KeyError):
        return failure(run) != "", None
    return True, value if value is not None and math.isfinite(value) else None


def best_trial(trials: Sequence[Trial], metric: str) -> Trial | None:
    """Returns the trial with the best mean; of equals the first. None where none has a result.

    Args:
      trials: of one arm at one label budget.
      metric: what they are judged by.
    """
    sign = 1 if lower_is_better(metric) else -1
    known = [trial for trial in trials if trial.mean is not None]
    return min(known, key=lambda trial: (sign * trial.mean, trial.number), default=None)


def edges(best: Trial, trials: Sequence[Trial]) -> dict[str, str]:
    """Returns the keys whose best value lies at an edge of all that was searched, each with the side: low or high.

    Args:
      best: of the trials.
      trials: of the same arm and label budget.
    """
    found = {}
    for key, value in best.values.items():
        low, high, scale = _searched(key, trials)
        if scale is None or not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        place = position(value, low, high, scale)
        if scale == "list":
            tried = [trial.values[key] for trial in trials]
            place = 0.0 if value == min(tried) else 1.0 if value == max(tried) else 0.5
        if place <= EDGE or place >= 1 - EDGE:
            found[key] = "low" if place <= EDGE else "high"
    return found


def _searched(key: str, trials: Sequence[Trial]) -> tuple[float, float, str | None]:
    """The whole of what a key was drawn from, extensions included; no scale where its values have no order."""
    ranges = [trial.ranges[key] for trial in trials]
    if any(len(r) != 3 or r[2] not in ("log", "linear") for r in ranges):
        values = [trial.values[key] for trial in trials]
        ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        return 0.0, 0.0, "list" if ordered and len(set(values)) > 2 else None
    return min(r[0] for r in ranges), max(r[1] for r in ranges), ranges[0][2]


def position(value: float, low: float, high: float, scale: str) -> float:
    """Returns where a value lies in a range, 0 at its low end and 1 at its high end, on the scale of the range."""
    if scale == "log":
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5


def expected_best(values: Sequence[float], *, lower: bool) -> Float64[np.ndarray, " trial"]:
    """Returns the expected best of n trials for n = 1 to B, from the B that were run (Dodge et al. 2019).

    ``E[best of n] = sum over v of v (P(V <= v)^n - P(V < v)^n)`` with the empirical distribution, for larger is better.

    Args:
      values: one result per trial.
      lower: whether a smaller value is better.
    """
    sign = -1.0 if lower else 1.0
    distinct, counts = np.unique(sign * np.asarray(values, np.float64), return_counts=True)
    at_most = np.cumsum(counts) / counts.sum()
    below = at_most - counts / counts.sum()
    n = np.arange(1, counts.sum() + 1)[:, None]
    return sign * (distinct * (at_most**n - below**n)).sum(1)


def tuning_summary(directory: Path, tuning: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Returns what a search shows: every trial, the best of each cell, its edges, and the expected best of n.

    Args:
      directory: of the comparison.
      tuning: ``tuning`` of ``comparison.json``; None where nothing was tuned.

    Returns:
      A JSON object, or None.
    """
    if not tuning:
        return None
    metric = tuning["metric"]
    trials = read_trials(directory, tuning["trials"], metric)
    cells: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        cells.setdefault((trial.arm, trial.budget), []).append(trial)
    return {
        "metric": metric,
        "search": tuning["search"],
        "per_arm": tuning["per_arm"],
        "seeds": tuning["seeds"],
        "spaces": tuning["spaces"],
        "trials": [
            {
                "arm": t.arm,
                "budget": t.budget,
                "trial": t.number,
                "values": dict(t.values),
                "mean": t.mean,
                "failed": t.failed,
                "unfinished": bool(t.unfinished),
                "paths": list(t.paths),
            }
            for t in trials
        ],
        "cells": [_cell(arm, budget, rows, metric) for (arm, budget), rows in cells.items()],
    }


def _cell(arm: str, budget: int, trials: Sequence[Trial], metric: str) -> dict[str, Any]:
    best, known = best_trial(trials, metric), [trial.mean for trial in trials if trial.mean is not None]
    return {
        "arm": arm,
        "budget": budget,
        "trials": len(trials),
        "failed": sum(trial.failed for trial in trials),
        "unfinished": sum(bool(trial.unfinished) for trial in trials),
        "best": best.number if best else None,
        "values": dict(best.values) if best else None,
        "mean": best.mean if best else None,
        "edges": edges(best, trials) if best else {},
        "expected_best": [float(v) for v in expected_best(known, lower=lower_is_better(metric))] if known else [],
    }
