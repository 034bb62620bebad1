"""What each arm costs: parameters, FLOPs, step time, accelerator-seconds, and money and energy where priced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.money.assumptions import assumptions
from tlj.evidence.money.kept import cached_flops, extraction
from tlj.evidence.money.label_value import label_values
from tlj.evidence.money.pareto import pareto
from tlj.evidence.money.prices import Prices
from tlj.evidence.money.spending import Rates, Spent, Trial, finished_trials, price, rates_of, spent_by_cell
from tlj.evidence.money.total import totals
from tlj.evidence.run_files import Run
from tlj.evidence.runs import Comparison


def cost(
    comparison: Comparison,
    prices: Prices | None = None,
    cells: Sequence[Mapping[str, Any]] = (),
    effective: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Returns the cost of each arm, from the run files and the step times measured alone on the idle machine.

    Args:
      comparison: the runs.
      prices: the user's prices, or None where there are none.
      cells: the summary's ``cells``, for quality against cost.
      effective: the summary's ``effective_data``, for the value of the labels saved.

    Returns:
      ``device``, ``devices``, ``reference`` (the arm of the relative figures: the first that trains everything, the
      twin before the others), ``arms``, one row per arm, ``cached`` (``tlj.evidence.money.kept``), ``cells`` and
      ``totals``, one per arm and budget, ``label_value``, ``pareto``, ``prices`` and ``assumptions``. What was not
      measured or not priced is None.
      Accelerator-seconds are step time x steps x devices; those of the grid are the runs, without tuning trials.
    """
    by_arm: dict[str, list[Run]] = {arm.name: [] for arm in comparison.arms}
    for run in comparison.runs:
        by_arm.setdefault(run.key.arm, []).append(run)
    reference = _reference(comparison.twin, by_arm)
    measured = comparison.step_time or {}
    trials, declared_trials = finished_trials(comparison)
    rates = rates_of(comparison, prices)
    spent = spent_by_cell(comparison, trials)
    rows = [_row(arm.name, by_arm[arm.name], measured, trials, rates) for arm in comparison.arms]
    base = next((row for row in rows if row["arm"] == reference), None)
    for row in rows:
        row["relative_time"] = _ratio(
            row["step_s"] and row["step_s"]["median"], base and base["step_s"] and base["step_s"]["median"]
        )
        row["relative_flops"] = _ratio(row["flops_per_step"], base and base["flops_per_step"])
    money = totals(comparison, prices, rates, spent)
    return {
        "device": measured.get("device"),
        "devices": measured.get("devices"),
        "reference": reference,
        "arms": rows,
        "cached": extraction([run for runs in by_arm.values() for run in runs], rows),
        "accelerator_seconds_grid": _sum(row["accelerator_seconds_grid"] for row in rows),
        "accelerator_seconds_tuning": _sum(row["accelerator_seconds_tuning"] for row in rows),
        "tuning_trials": {"finished": len(trials), "declared": declared_trials},
        "accelerator_hours": _sum(row["accelerator_hours"] for row in rows),
        **{key: _sum(row[key] for row in rows) for key in price(None, rates)},
        "prices": _of_prices(prices, rates),
        "cells": [cell.to_json(rates) for cell in spent],
        "totals": money,
        "label_value": label_values(comparison, prices, money, effective),
        "pareto": pareto(comparison, cells, spent, money),
        "assumptions": assumptions(prices, rates),
    }


def timing(comparison: Comparison) -> dict[str, Any]:
    """Returns the seconds that the finished runs reported, summed over each arm's runs.

    Args:
      comparison: the runs.

    Returns:
      ``{arm: {field: seconds}}`` for every field of the runs' own ``timing`` that is in seconds.
    """
    totals: dict[str, dict[str, float]] = {}
    for run in comparison.runs:
        row = totals.setdefault(run.key.arm, {})
        for field, seconds in (run.summary.get("timing") or {}).items():
            if isinstance(seconds, (int, float)) and field.endswith("_s"):
                row[field] = row.get(field, 0.0) + seconds
    return {"runs_by_arm": totals}


def _row(
    arm: str, runs: list[Run], measured: Mapping[str, Any], trials: Sequence[Trial], rates: Rates
) -> dict[str, Any]:
    summary = runs[0].summary if runs else {}
    parameters, flops = summary.get("parameters") or {}, summary.get("flops") or {}
    times = (measured.get("arms") or {}).get(arm)
    devices = measured.get("devices") or (summary.get("cost") or {}).get("devices") or 1
    own = [trial for trial in trials if trial.arm == arm]
    spent = Spent.of(times and times["median_s"], devices, arm, None, [run.summary.get("steps") for run in runs], own)
    return {
        "arm": arm,
        "runs": len(runs),
        "trained_parameters": parameters.get("trained"),
        "total_parameters": parameters.get("total"),
        "flops_per_step": flops.get("per_step"),
        "training_flops_per_run": flops.get("training_total"),
        "training_flops_grid": None if flops.get("training_total") is None else flops["training_total"] * len(runs),
        **cached_flops(runs),
        "step_s": {"median": times["median_s"], "p5": times["p5_s"], "p95": times["p95_s"]} if times else None,
        "accelerator_seconds_per_run": spent.per_run,
        "accelerator_seconds_grid": spent.seconds_of_runs,
        "tuning_trials": len(own),
        "accelerator_seconds_tuning": spent.seconds_of_trials,
        "accelerator_hours": None if spent.seconds is None else spent.seconds / 3600,
        **price(spent.seconds, rates),
    }


def _of_prices(prices: Prices | None, rates: Rates) -> dict[str, Any] | None:
    if prices is None:
        return None
    accelerator = rates.accelerator
    return {
        "file": prices.name,
        "about": prices.about,
        "device_kind": rates.kind,
        "accelerator": accelerator.name if accelerator else None,
        "accelerators": [entry.name for entry in prices.accelerators],
        "dollars_per_label": prices.value("labels.dollars_per_label"),
        "workers_per_label": prices.value("labels.workers_per_label", 1.0),
    }


def _reference(twin: str, by_arm: Mapping[str, list[Run]]) -> str | None:
    for arm in [twin, *by_arm]:
        runs = by_arm.get(arm)
        parameters = (runs[0].summary.get("parameters") or {}) if runs else {}
        if parameters and parameters.get("trained") == parameters.get("total"):
            return arm
    return None


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _sum(values) -> float | None:
    values = list(values)
    return sum(values) if values and None not in values else None
