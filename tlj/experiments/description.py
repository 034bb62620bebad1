"""``comparison.json``: all that the evidence needs to know of a comparison besides the runs' own files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.experiments.arm_configs import declared_of
from tlj.experiments.checks import declared_rules
from tlj.experiments.exits import declared_exit
from tlj.experiments.grid import Grid, PlannedRun
from tlj.experiments.tuning import PlannedTrial, describe_search


def describe(
    config: ConfigDict,
    grid: Grid,
    controls: Mapping[str, str],
    command: str,
    trials: Sequence[PlannedTrial],
    others: Iterable[PlannedRun],
) -> dict[str, Any]:
    """Returns the content of ``comparison.json``.

    Args:
      config: of the comparison.
      grid: its runs, those of added seeds included.
      controls: what each arm is a control for, by name.
      command: the user's command line, for the report.
      trials: of a search, as far as they are planned.
      others: the runs of other parities than equal steps, as far as they are planned.
    """
    return {
        "task": config.data.source,
        "task_kind": config.task,
        "source": "" if grid.source else config.model.source,
        "source_task": grid.source["data"]["source"] if grid.source else None,
        **declared_rules(config),
        "twin": grid.twin,
        "arms": [
            {
                "arm": arm.name,
                "strategy": arm.strategy,
                "init": arm.init,
                "control": controls[arm.name],
                "declared": declared_of(config, arm),
                "diff": grid.diffs[arm.name],
            }
            for arm in grid.arms
        ],
        "budgets": list(grid.budgets),
        "seeds": sorted({run.seed for run in grid.runs}),
        "model": {"family": config.model.family, **configuration.to_dict(config.model.settings)},
        "steps": config.steps,
        "global_batch_size": grid.runs[0].config["global_batch_size"],
        "command": command,
        "parities": list(config.parities),
        "exit": declared_exit(config),
        "tuning": _tuning(config, grid, trials),
        "runs": [_row(run) for run in grid.runs],
        "parity_runs": [{**_row(run), "parity": run.parity, "steps": run.config["steps"]} for run in others],
    }


def going_on(before: Mapping[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Returns a description with what an earlier invocation had planned besides: a report in between keeps it.

    Added seeds, extensions of a search and runs of other parities follow from the runs before them, so that what was
    planned once will be planned again.

    Args:
      before: the content of ``comparison.json``; empty where there is none.
      now: of ``describe``.

    Returns:
      The same where the two do not describe one comparison.
    """
    now = json.loads(json.dumps(now))
    planned = ("runs", "parity_runs", "seeds", "tuning", "command", "exit")
    tuning, earlier = ({**(told.get("tuning") or {}), "trials": None} for told in (now, before))
    known = {row["path"] for row in before.get("runs", ())}
    same = all(before.get(key) == value for key, value in now.items() if key not in planned)
    if not (same and tuning == earlier and known.issuperset(row["path"] for row in now["runs"])):
        return now
    merged = {**now, "seeds": before["seeds"]}
    for key in ("runs", "parity_runs"):
        merged[key] = _joined(now[key], before[key])
    if now["tuning"]:
        merged["tuning"] = {**now["tuning"], "trials": _joined(now["tuning"]["trials"], before["tuning"]["trials"])}
    return merged


def _joined(now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of now, and those of before for other runs."""
    places = {(row["path"], row.get("parity")) for row in now}
    return [*now, *(row for row in before if (row["path"], row.get("parity")) not in places)]


def _row(run: PlannedRun) -> dict[str, Any]:
    return {"arm": run.arm.name, "budget": run.budget, "seed": run.seed, "path": str(run.folder)}


def _tuning(config: ConfigDict, grid: Grid, trials: Sequence[PlannedTrial]) -> dict[str, Any] | None:
    if not config.tuning.trials:
        return None
    return {**describe_search(config, grid), "trials": [row for trial in trials for row in trial.rows()]}
