"""One comparison under each parity: the same steps, FLOPs or seconds, and every run at its best stopping point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tlj.evidence.judging.statistics import mean_interval
from tlj.evidence.judging.verdict import compare_arms
from tlj.evidence.run_files import RunKey, read_runs
from tlj.evidence.runs import Comparison, run_key
from tlj.evidence.scores.judged import judged

MEANINGS = {
    "steps": "as many steps as declared",
    "flops": "as many training FLOPs as the twin",
    "seconds": "as many accelerator-seconds as the twin, which on one kind of device is as many dollars",
    "best": "each run at the step that its validation liked best",
}


def under_parity(comparison: Comparison, parity: str) -> Comparison:
    """Returns a comparison with the runs of one parity in place of those of equal steps.

    Args:
      comparison: as it was read.
      parity: one of ``MEANINGS``.

    Returns:
      The comparison, with the finished runs of that parity alone.
    """
    if parity == "steps":
        return comparison
    if parity == "best":
        runs = tuple(
            dataclasses.replace(run, scores=run.scores.best) for run in comparison.runs if run.scores.best is not None
        )
        return dataclasses.replace(comparison, runs=runs)
    rows = [row for row in comparison.declared.get("parity_runs") or () if row["parity"] == parity]
    keys = [run_key(comparison.directory, row) for row in rows]
    known = {run.key: run for run in comparison.runs}
    new = [key for key in keys if key not in known and _is_done(comparison, key)]
    runs = {run.key: run for run in read_runs(comparison.directory, new)} | known
    return dataclasses.replace(comparison, runs=tuple(runs[key] for key in keys if key in runs))


def _is_done(comparison: Comparison, key: RunKey) -> bool:
    return (comparison.directory / key.path / "summary.json").is_file()


def parities_summary(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns what every declared parity shows: the cells, and the difference to the twin with its verdict.

    Args:
      comparison: as it was read.

    Returns:
      One object per declared parity, with ``rows`` by arm and label budget: ``mean`` and ``interval`` of the judged
      metric, ``steps`` and ``relative_flops`` of its runs, and ``verdict``, ``difference`` and ``difference_interval``.
    """
    found = []
    for parity in comparison.declared.get("parities") or ("steps",):
        view, summaries = under_parity(comparison, parity), {}
        for run in view.runs:
            summaries.setdefault((run.key.arm, run.key.budget), []).append(run.summary)
        rows = [
            row
            for arm in comparison.arms
            for budget in comparison.budgets
            if (row := _row(view, arm.name, budget, summaries)) is not None
        ]
        missing = sum(
            not _is_done(comparison, run_key(comparison.directory, row))
            for row in comparison.declared.get("parity_runs") or ()
            if row["parity"] == parity
        )
        found.append({"parity": parity, "meaning": MEANINGS[parity], "missing": missing, "rows": rows})
    return found


def _row(
    view: Comparison, arm: str, budget: int, summaries: Mapping[tuple[str, int], list[Mapping[str, Any]]]
) -> dict[str, Any] | None:
    values = judged(view, arm, budget)
    if not values:
        return None
    against = None if arm == view.twin else compare_arms(view, arm, view.twin, budget)
    runs, twins = summaries[arm, budget], summaries.get((view.twin, budget), [])
    estimate = mean_interval(np.array(list(values.values())))
    own, twin = _mean_flops(runs), _mean_flops(twins)
    return {
        "arm": arm,
        "budget": budget,
        "seeds": list(values),
        "mean": estimate.mean,
        "interval": estimate.interval,
        "steps": _mean(summary.get("stopped_at") or summary.get("steps") for summary in runs),
        "best_step": _mean((summary.get("best") or {}).get("step") for summary in runs),
        "relative_flops": own / twin if own and twin else None,
        "verdict": against.verdict if against else None,
        "difference": against.difference.estimate.mean if against else None,
        "difference_interval": against.difference.estimate.interval if against else None,
    }


def _mean_flops(summaries: list[Mapping[str, Any]]) -> float | None:
    return _mean((summary.get("flops") or {}).get("training_total") for summary in summaries)


def _mean(values) -> float | None:
    values = list(values)
    return None if not values or None in values else sum(values) / len(values)
