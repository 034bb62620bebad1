"""Runs that have FLOPs or seconds in common with the twin's, in place of steps."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj.distributed import agree, is_main
from tlj.experiments.arm_configs import arm_config
from tlj.experiments.grid import Chosen, Grid, PlannedRun
from tlj.training.run_files import write_json

# Step times are measured, and never twice the same: an arm whose seconds are this close keeps its steps.
CLOSE = 0.03


def steps_for_flops(summary: Mapping[str, Any], twin: Mapping[str, Any]) -> int:
    """Returns with how many steps an arm's training takes as many FLOPs as its twin's.

    Phases that begin at a step begin there again, and the last grows or shrinks.

    Args:
      summary: of a run of the arm.
      twin: summary of the twin's run at the same budget and seed.
    """
    rates = [phase["flops_per_step"] for phase in summary["phases"]]
    steps = _steps_for(twin["flops"]["training_total"], summary["phases"], rates)
    return _settled(summary, steps)


def steps_for_seconds(summary: Mapping[str, Any], step_s: float, twin: Mapping[str, Any], twin_step_s: float) -> int:
    """Returns with how many steps an arm's training takes as many accelerator-seconds as its twin's.

    Args:
      summary: of a run of the arm.
      step_s: its measured mean seconds per step.
      twin: summary of the twin's run.
      twin_step_s: its measured mean seconds per step.
    """
    steps = round(_steps_of(twin) * twin_step_s / step_s)
    return summary["steps"] if abs(steps / _steps_of(summary) - 1) <= CLOSE else max(steps, 1)


def _settled(summary: Mapping[str, Any], steps: int) -> int:
    """The steps declared, where those wanted are those taken: a run that stopped early is the one that is there."""
    return summary["steps"] if steps == _steps_of(summary) else steps


def _steps_of(summary: Mapping[str, Any]) -> int:
    return summary.get("stopped_at") or summary["steps"]


def _steps_for(total: float, phases: Sequence[Mapping[str, Any]], rates: Sequence[float]) -> int:
    for phase, rate in zip(phases[:-1], rates, strict=False):
        if rate * phase["steps"] > total:
            return max(phase["start"] + round(total / rate), 1)
        total -= rate * phase["steps"]
    return max(phases[-1]["start"] + round(total / rates[-1]), 1)


def plan_parity(
    parity: str, config: ConfigDict, grid: Grid, workdir: pathlib.Path, chosen: Chosen | None
) -> tuple[PlannedRun, ...]:
    """Returns the runs of a parity other than equal steps; one with as many steps is the run that is there already.

    Args:
      parity: ``flops`` or ``seconds``.
      config: of the comparison.
      grid: whose runs are done, or as many of them as there are.
      workdir: of the comparison.
      chosen: what a search chose.
    """
    configs = {}
    for (name, budget), count in _settled_steps(parity, grid, workdir).items():
        arm = next(arm for arm in grid.arms if arm.name == name)
        changes = {**(chosen or {}).get((name, budget), {}), "steps": count}
        configs[name, budget] = arm_config(config, arm, grid.source_hash, changes)
    return tuple(
        _of_parity(parity, run, configs[run.arm.name, run.budget])
        for run in grid.runs
        if (run.arm.name, run.budget) in configs
    )


def _of_parity(parity: str, run: PlannedRun, config: Mapping[str, Any]) -> PlannedRun:
    """The run of a parity beside one of equal steps; the same run where its steps are."""
    if config["steps"] == run.config["steps"]:
        return dataclasses.replace(run, parity=parity)
    folder = pathlib.PurePosixPath("parity", parity, *run.folder.parts[1:])
    resolved = {**config, "label_budget": run.budget, "seed": run.seed}
    return PlannedRun(run.arm, run.budget, run.seed, resolved, folder, parity)


def _settled_steps(parity: str, grid: Grid, workdir: pathlib.Path) -> dict[tuple[str, int], int]:
    """The steps of each cell, once and for all: a later measurement of seconds would ask for other runs."""
    path = workdir / f"{parity}_parity.json"
    known = agree(json.loads(path.read_text())["steps"] if path.exists() else [])
    found = {(arm, budget): steps for arm, budget, steps in known}
    found = {**agreed(_steps(parity, grid, workdir)), **found}
    if is_main():
        write_json(path, {"steps": [[arm, budget, steps] for (arm, budget), steps in found.items()]})
    return found


def agreed(steps: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """Returns what the first process has, which measured for itself."""
    return {(arm, budget): count for arm, budget, count in agree([[*cell, count] for cell, count in steps.items()])}


def _steps(parity: str, grid: Grid, workdir: pathlib.Path) -> dict[tuple[str, int], int]:
    """The steps of each cell, by its first run that is done and whose twin's is."""
    times = json.loads((workdir / "step_time.json").read_text())["arms"] if parity == "seconds" else {}
    planned = {(run.arm.name, run.budget, run.seed): run for run in grid.runs}
    found: dict[tuple[str, int], int] = {}
    for (name, budget, seed), run in planned.items():
        twin = planned.get((grid.twin, budget, seed))
        if twin is None or (name, budget) in found:
            continue
        paths = [workdir / one.folder / "summary.json" for one in (run, twin)]
        if not all(path.exists() for path in paths):
            continue
        own, of_twin = (json.loads(path.read_text()) for path in paths)
        if parity == "flops":
            found[name, budget] = steps_for_flops(own, of_twin)
        else:
            mine, twins = times[name]["median_s"], times[grid.twin]["median_s"]
            found[name, budget] = steps_for_seconds(own, mine, of_twin, twins)
    return found
