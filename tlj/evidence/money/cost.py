"""What each arm costs: parameters, FLOPs, step time and accelerator-seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.evidence.run_files import Run
from tlj.evidence.runs import Comparison


def cost(comparison: Comparison) -> dict[str, Any]:
    """Returns the cost of each arm, from the run files and the step times measured alone on the idle machine.

    Args:
      comparison: the runs.

    Returns:
      ``device``, ``devices``, ``reference`` (the arm of the relative figures: the first that trains everything, the
      twin before the others) and ``arms``, one row per arm. What was not measured is None. Accelerator-seconds are
      step time x steps x devices.
    """
    by_arm: dict[str, list[Run]] = {arm.name: [] for arm in comparison.arms}
    for run in comparison.runs:
        by_arm.setdefault(run.key.arm, []).append(run)
    reference = _reference(comparison.twin, by_arm)
    measured = comparison.step_time or {}
    rows = [_row(arm.name, by_arm[arm.name], measured) for arm in comparison.arms]
    base = next((row for row in rows if row["arm"] == reference), None)
    for row in rows:
        row["relative_time"] = _ratio(
            row["step_s"] and row["step_s"]["median"], base and base["step_s"] and base["step_s"]["median"]
        )
        row["relative_flops"] = _ratio(row["flops_per_step"], base and base["flops_per_step"])
    grid = [row["accelerator_seconds_grid"] for row in rows]
    return {
        "device": measured.get("device"),
        "devices": measured.get("devices"),
        "reference": reference,
        "arms": rows,
        "accelerator_seconds_grid": sum(grid) if grid and None not in grid else None,
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


def _row(arm: str, runs: list[Run], measured: Mapping[str, Any]) -> dict[str, Any]:
    summary = runs[0].summary if runs else {}
    parameters, flops = summary.get("parameters") or {}, summary.get("flops") or {}
    times = (measured.get("arms") or {}).get(arm)
    devices = measured.get("devices") or (summary.get("cost") or {}).get("devices") or 1
    steps = summary.get("steps")
    per_run = times["median_s"] * steps * devices if times and steps else None
    return {
        "arm": arm,
        "runs": len(runs),
        "trained_parameters": parameters.get("trained"),
        "total_parameters": parameters.get("total"),
        "flops_per_step": flops.get("per_step"),
        "training_flops_per_run": flops.get("training_total"),
        "training_flops_grid": None if flops.get("training_total") is None else flops["training_total"] * len(runs),
        "step_s": {"median": times["median_s"], "p5": times["p5_s"], "p95": times["p95_s"]} if times else None,
        "accelerator_seconds_per_run": per_run,
        "accelerator_seconds_grid": None if per_run is None else per_run * len(runs),
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
