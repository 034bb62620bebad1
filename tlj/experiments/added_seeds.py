"""Adaptive seeds: one further look, with more seeds, at the cells whose interval straddles zero."""

from __future__ import annotations

import dataclasses
import pathlib

from ml_collections import ConfigDict

from tlj.distributed import agree, is_main
from tlj.evidence.judging.adaptive import needs_more, seeds_rule
from tlj.evidence.judging.verdict import compare_arms
from tlj.evidence.runs import read_comparison
from tlj.experiments.grid import Grid, PlannedRun, lay_out


def added_seeds(config: ConfigDict) -> tuple[int, ...]:
    """Returns the seeds that a second look adds: those after the largest of the first."""
    first = max(config.seeds) + 1
    return tuple(range(first, first + max(config.most_seeds - len(config.seeds), 0)))


def added_runs(config: ConfigDict, grid: Grid, workdir: pathlib.Path) -> tuple[PlannedRun, ...]:
    """Returns the runs of the second look: of every undecided arm and its twin, at the label budget in question.

    It depends on the first look alone, so that a comparison that was interrupted adds the same.

    Args:
      config: of the comparison.
      grid: of the first look, whose runs are done or have failed.
      workdir: of the comparison.
    """
    seeds = added_seeds(config)
    if not seeds:
        return ()
    cells = [tuple(cell) for cell in agree(_undecided(config, grid, workdir) if is_main() else [])]
    configs = {(run.arm.name, run.budget): run.config for run in grid.runs}
    return lay_out(grid, configs, seeds, cells=cells)


def _undecided(config: ConfigDict, grid: Grid, workdir: pathlib.Path) -> list[tuple[str, int]]:
    """The arms and label budgets that get a second look, each with its twin."""
    comparison, rule = read_comparison(workdir), seeds_rule(len(config.seeds), config.most_seeds)
    # Begun again, a comparison holds runs of the second look, which the rule is not to see.
    first = tuple(run for run in comparison.runs if run.key.seed in config.seeds)
    comparison = dataclasses.replace(comparison, runs=first)
    cells = []
    for budget in grid.budgets:
        for arm in grid.arms:
            seen = None if arm.name == grid.twin else compare_arms(comparison, arm.name, grid.twin, budget)
            if seen is not None and needs_more(seen.difference, rule):
                cells += [(grid.twin, budget), (arm.name, budget)]
    return list(dict.fromkeys(cells))
