"""Accelerator-seconds of the runs and the tuning trials of each arm at each label budget, and their price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tlj.evidence.money.prices import Accelerator, Prices
from tlj.evidence.run_files import read_json
from tlj.evidence.runs import Comparison


@dataclass(frozen=True)
class Trial:
    """A finished tuning trial: of which arm at which label budget, and how many steps it took."""

    arm: str
    budget: int
    steps: int | None


@dataclass(frozen=True)
class Rates:
    """What an accelerator-second costs in dollars, kWh and CO2e.

    Args:
      kind: the device kind that the runs report.
      accelerator: what the user quoted for it, or None.
      pue: power usage effectiveness, or None.
      location: gCO2e per kWh, location-based, or None.
      market: gCO2e per kWh, market-based, or None.
    """

    kind: str | None
    accelerator: Accelerator | None = None
    pue: float | None = None
    location: float | None = None
    market: float | None = None


@dataclass(frozen=True)
class Spent:
    """Accelerator-seconds of an arm, at one label budget or at all of them.

    Args:
      arm: the arm.
      budget: the label budget, or None for all.
      runs: how many runs are finished.
      trials: how many tuning trials are finished.
      seconds_of_runs: accelerator-seconds of the runs, None where the step time was not measured.
      seconds_of_trials: those of the trials.
    """

    arm: str
    budget: int | None
    runs: int
    trials: int
    seconds_of_runs: float | None
    seconds_of_trials: float | None

    @classmethod
    def of(
        cls,
        step_s: float | None,
        devices: int,
        arm: str,
        budget: int | None,
        steps: Sequence[int | None],
        trials: Sequence[Trial],
    ) -> Spent:
        """Multiplies a step time in seconds by the steps of runs and trials and by the devices."""
        of_runs = _seconds(step_s, devices, steps) if steps else None
        of_trials = _seconds(step_s, devices, [trial.steps for trial in trials])
        return cls(arm, budget, len(steps), len(trials), of_runs, of_trials)

    @property
    def per_run(self) -> float | None:
        """Accelerator-seconds of a run, the mean over the runs."""
        return None if self.seconds_of_runs is None else self.seconds_of_runs / self.runs

    @property
    def seconds(self) -> float | None:
        """Accelerator-seconds of runs and trials."""
        if self.seconds_of_runs is None or self.seconds_of_trials is None:
            return None
        return self.seconds_of_runs + self.seconds_of_trials

    def to_json(self, rates: Rates) -> dict[str, Any]:
        """Returns the row as it stands in ``summary.json``."""
        return {
            "arm": self.arm,
            "budget": self.budget,
            "runs": self.runs,
            "tuning_trials": self.trials,
            "accelerator_seconds_per_run": self.per_run,
            "accelerator_seconds": self.seconds,
            "dollars_per_run": price(self.per_run, rates)["dollars"],
            "dollars": price(self.seconds, rates)["dollars"],
        }


def rates_of(comparison: Comparison, prices: Prices | None) -> Rates:
    """Finds what was quoted for the device that the runs were on.

    Args:
      comparison: the runs.
      prices: the user's, or None.
    """
    devices = (comparison.manifest or {}).get("devices") or {}
    kind = devices.get("kind") or (comparison.step_time or {}).get("device")
    if prices is None:
        return Rates(kind)
    energy = (prices.value(f"energy.{key}") for key in ("pue", "location_g_per_kwh", "market_g_per_kwh"))
    return Rates(kind, prices.accelerator(kind), *energy)


def price(seconds: float | None, rates: Rates) -> dict[str, float | None]:
    """Returns what accelerator-seconds cost: ``chips x hours x price`` and ``chips x watts x hours x PUE / 1000``.

    Args:
      seconds: accelerator-seconds, a device counted once; None where they were not measured.
      rates: what was quoted.

    Returns:
      ``dollars`` on demand, ``spot_dollars``, ``kwh``, ``kg_co2e_location``, ``kg_co2e_market``; None where not quoted.
      Hosts, storage and idle chips are not in them (Patterson et al. 2021, arXiv:2104.10350, for the energy).
    """
    quoted = rates.accelerator
    hours = None if seconds is None or quoted is None else seconds / quoted.value("devices_per_chip", 1.0) / 3600
    dollars = times(hours, quoted and quoted.value("dollars_per_chip_hour"))
    factor = quoted and quoted.value("spot_factor")
    kwh = times(hours, quoted and quoted.value("watts"), rates.pue, 1e-3)
    return {
        "dollars": dollars,
        "spot_dollars": times(dollars, factor, 1 + (quoted.value("spot_restart_overhead", 0.0) if quoted else 0.0)),
        "kwh": kwh,
        "kg_co2e_location": times(kwh, rates.location, 1e-3),
        "kg_co2e_market": times(kwh, rates.market, 1e-3),
    }


def finished_trials(comparison: Comparison) -> tuple[tuple[Trial, ...], int]:
    """Reads the steps of the finished tuning trials.

    Args:
      comparison: whose ``comparison.json`` may hold ``tuning.trials``.

    Returns:
      The finished trials, and how many were declared.

    Raises:
      InputError: the summary of a trial cannot be read.
    """
    tuning = comparison.declared.get("tuning")
    rows = tuning.get("trials") if isinstance(tuning, Mapping) else None
    rows = rows if isinstance(rows, list) else []
    trials = []
    for row in rows:
        place = PurePosixPath(row["path"])
        summary = comparison.directory / place / "summary.json"
        if place.is_absolute() or ".." in place.parts or not summary.is_file():
            continue
        trials.append(Trial(row["arm"], int(row["budget"]), read_json(summary).get("steps")))
    return tuple(trials), len(rows)


def spent_by_cell(comparison: Comparison, trials: Iterable[Trial]) -> list[Spent]:
    """Returns what each arm with a finished run spent at each label budget.

    Where nothing was tuned at a budget but the arm was at another, as with ``tuning.budgets=largest``, the cell could
    not have been had without those trials, and they are counted in it.

    Args:
      comparison: the runs.
      trials: the finished tuning trials.
    """
    measured = comparison.step_time or {}
    by_arm: dict[str, list[Trial]] = {}
    for trial in trials:
        by_arm.setdefault(trial.arm, []).append(trial)
    steps: dict[tuple[str, int], list[int | None]] = {}
    devices = measured.get("devices") or 1
    for run in comparison.runs:
        steps.setdefault((run.key.arm, run.key.budget), []).append(run.summary.get("steps"))
    rows = []
    for arm in comparison.arms:
        times = (measured.get("arms") or {}).get(arm.name)
        own = by_arm.get(arm.name, [])
        for budget in comparison.budgets:
            if (arm.name, budget) in steps:
                here = [trial for trial in own if trial.budget == budget] or own
                taken = steps[arm.name, budget]
                rows.append(Spent.of(times and times["median_s"], devices, arm.name, budget, taken, here))
    return rows


def _seconds(step_s: float | None, devices: int, steps: Sequence[int | None]) -> float | None:
    return None if step_s is None or None in steps else step_s * sum(steps) * devices


def times(*factors: float | None) -> float | None:
    """Returns the product, or None where a factor is not known."""
    return None if None in factors else math.prod(factors)
