"""Tuning parity: as many trials for every arm, over its own ranges, on seeds of their own, the best by validation."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import InputError, RunError
from tlj.evidence.tuning import Trial, best_trial, edges, read_trials
from tlj.experiments.arm_configs import Values, arm_config
from tlj.experiments.grid import Chosen, Grid, PlannedRun
from tlj.experiments.search_space import check_ends, ends, settings, widened
from tlj.metric_names import check_metric

# What may differ between an arm and its twin once it is tuned; steps, batches and data make the pair.
TUNABLE = ("optimizer.", "data.augment.", "lora.", "plateau.")
Ranges = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedTrial:
    """A setting to try.

    Attributes:
      arm: name of the arm.
      budget: its labels.
      number: of the trial, from 0.
      values: by dotted key.
      ranges: what each was drawn from, ``(low, high, scale)`` or the values of a list.
      runs: one per tuning seed.
    """

    arm: str
    budget: int
    number: int
    values: Values
    ranges: Ranges
    runs: tuple[PlannedRun, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Returns its rows in ``comparison.json``, one per seed."""
        return [
            {
                "arm": self.arm,
                "budget": self.budget,
                "trial": self.number,
                "seed": run.seed,
                "path": str(run.folder),
                "values": dict(self.values),
                "ranges": {key: list(found) for key, found in self.ranges.items()},
            }
            for run in self.runs
        ]


def describe_search(config: ConfigDict, grid: Grid) -> dict[str, Any]:
    """Returns what is searched and how, as ``comparison.json`` has it.

    Args:
      config: of the comparison.
      grid: of the comparison.
    """
    tuning = config.tuning
    return {
        "per_arm": tuning.trials,
        "search": tuning.search,
        "seeds": list(tuning.seeds),
        "metric": tuning.metric,
        "budgets": tuning.budgets,
        "extend": tuning.extend,
        "spaces": configuration.to_dict(grid.spaces),
    }


def check_tuning(config: ConfigDict, grid: Grid) -> None:
    """Checks that a search can be done, and is the same search for every arm.

    Raises:
      InputError: for a search without ranges or trials, ranges of what makes a pair, seeds that are used again, or a
        grid that gives arms different numbers of trials; or where one budget is tuned for all and none is every arm's.
    """
    tuning = config.tuning
    if not tuning.trials:
        if any(grid.spaces.values()):
            raise InputError(
                "ranges, but no trials", where="config.tuning.trials", do="set it, or leave the ranges out"
            )
        return
    check_metric(tuning.metric, config.task, "config.tuning.metric")
    tuned_cells(config, grid)
    last = max(grid.seeds) + max(config.most_seeds - len(grid.seeds), 0)
    if again := sorted(set(tuning.seeds) & {*grid.seeds, *range(max(grid.seeds) + 1, last + 1)}):
        what = f"seed {again[0]} is of the final runs, too: what was chosen on it would look better there than it is"
        raise InputError(what, where="config.tuning.seeds", do="use seeds of their own, such as 1000")
    for arm in grid.arms:
        space = grid.spaces[arm.name]
        if not space:
            do = "set config.tuning.space.KEY, or config.declared.ARM.tuning.space.KEY"
            raise InputError(f"no range to draw from (arm {arm.name!r})", where="config.tuning.space", do=do)
        for key in space:
            if not key.startswith(TUNABLE):
                do = f"tune keys of {', '.join(name.rstrip('.') for name in TUNABLE)}"
                raise InputError(f"{key!r} is what a pair has in common", where=f"config.tuning.space.{key}", do=do)
            check_ends(key, space[key])
    counts = {arm.name: len(settings(tuning.search, grid.spaces[arm.name], tuning.trials)) for arm in grid.arms}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        do = "give each arm as many values, or use config.tuning.search=random"
        raise InputError(f"arms would have different numbers of trials: {told}", where="config.tuning.space", do=do)


def tune(
    config: ConfigDict,
    grid: Grid,
    workdir: pathlib.Path,
    train: Callable[[Sequence[PlannedRun], Sequence[PlannedTrial]], bool],
) -> tuple[list[PlannedTrial], Chosen | None]:
    """Tries the settings of every arm, round by round, and chooses the best of each cell by validation.

    Args:
      config: of the comparison.
      grid: before tuning.
      workdir: of the comparison.
      train: trains the runs that are not done, having written down the trials so far; False where it ended early.

    Returns:
      Every trial; and what was chosen for each arm and label budget, None where the search did not end.

    Raises:
      RunError: where every trial of a cell failed.
    """
    trials = first_trials(config, grid)
    for extension in itertools.count(1):
        if not train([run for trial in trials for run in trial.runs], trials):
            return trials, None
        best = _best(config, workdir, trials)
        if extension > config.tuning.extend or not (wider := _wider(best, trials)):
            return trials, _for_every_budget(config, grid, {cell: trial.values for cell, (trial, _) in best.items()})
        counts = {cell: sum((trial.arm, trial.budget) == cell for trial in trials) for cell in wider}
        trials = [*trials, *plan_trials(config, grid, extension, wider, counts)]
    raise AssertionError


def first_trials(config: ConfigDict, grid: Grid) -> list[PlannedTrial]:
    """Returns the trials of the first round; none where nothing is tuned."""
    if not config.tuning.trials:
        return []
    return plan_trials(config, grid, 0, {cell: grid.spaces[cell[0]] for cell in tuned_cells(config, grid)}, {})


def tuned_cells(config: ConfigDict, grid: Grid) -> list[tuple[str, int]]:
    """Returns the arms and label budgets that are tuned, budget by budget.

    Where one is tuned for all, it is the largest that every arm has: with more labels one arm would be chosen better.

    Raises:
      InputError: where arms have no budget in common.
    """
    budgets = grid.budgets if config.tuning.budgets == "each" else (_largest_of_all(grid),)
    return [(arm.name, budget) for budget in budgets for arm in grid.arms if budget in grid.budgets_of[arm.name]]


def _largest_of_all(grid: Grid) -> int:
    common = set.intersection(*(set(budgets) for budgets in grid.budgets_of.values()))
    if not common:
        do = "give the arms one in common, or set it to each"
        raise InputError("no label budget is every arm's", where="config.tuning.budgets", do=do)
    return max(common)


def plan_trials(
    config: ConfigDict,
    grid: Grid,
    extension: int,
    spaces: Mapping[tuple[str, int], Values],
    counts: Mapping[tuple[str, int], int],
) -> list[PlannedTrial]:
    """Returns the trials of a round: of the first, or of one that extends ranges and takes half as many.

    Trial i of every arm draws the same place in its own ranges, so that no arm has more luck than another.

    Args:
      config: of the comparison.
      grid: of the comparison.
      extension: 0, or the number of the extension.
      spaces: what each cell draws from.
      counts: how many trials each cell had before.
    """
    number = config.tuning.trials if not extension else max(config.tuning.trials // 2, 1)
    trials = []
    for (name, budget), space in spaces.items():
        arm = next(arm for arm in grid.arms if arm.name == name)
        for i, values in enumerate(settings("random" if extension else config.tuning.search, space, number, extension)):
            place = counts.get((name, budget), 0) + i
            changes = {**values, "evaluate.test": False, "evaluate.shifts": ()}
            resolved = arm_config(config, arm, grid.source_hash, changes, is_trial=True)
            folder = pathlib.PurePosixPath("tuning", arm.folder, str(budget), str(place))
            runs = tuple(
                PlannedRun(arm, budget, seed, {**resolved, "label_budget": budget, "seed": seed}, folder / str(seed))
                for seed in config.tuning.seeds
            )
            ranges = {key: ends(spec) for key, spec in space.items()}
            trials.append(PlannedTrial(name, budget, place, values, ranges, runs))
    return trials


def _best(
    config: ConfigDict, workdir: pathlib.Path, trials: Sequence[PlannedTrial]
) -> dict[tuple[str, int], tuple[Trial, dict[str, str]]]:
    """The best trial of each cell, and the edges it lies at."""
    metric, cells = config.tuning.metric, {}
    for tried in read_trials(workdir, [row for trial in trials for row in trial.rows()], metric):
        cells.setdefault((tried.arm, tried.budget), []).append(tried)
    found = {cell: best_trial(tried, metric) for cell, tried in cells.items()}
    for (arm, budget), best in found.items():
        if best is None:
            raise RunError(
                f"no trial of {arm} at {budget} labels has a {metric}: all failed; narrow its tuning.space, or look at "
                f"{workdir / 'tuning'}"
            )
    return {cell: (best, edges(best, cells[cell])) for cell, best in found.items()}


def _wider(
    best: Mapping[tuple[str, int], tuple[Trial, dict[str, str]]], trials: Sequence[PlannedTrial]
) -> dict[tuple[str, int], dict[str, Any]]:
    """What every arm draws from next, at the budgets where the best of one lies at an edge that can be moved.

    An arm goes beyond its own edge; one without goes where another went, so that it is given the same chance.
    """
    spaces = {}
    for budget in dict.fromkeys(budget for _, budget in best):
        cells = {cell: found for cell, (_, found) in best.items() if cell[1] == budget}
        of_others = {key: side for found in cells.values() for key, side in sorted(found.items())}
        extended = {}
        for cell, own in cells.items():
            tried = [trial.ranges for trial in trials if (trial.arm, trial.budget) == cell]
            extended[cell] = widened(tried, {**of_others, **own})
        # Where no arm at an edge can go beyond it there is nothing more to try.
        if any(extended[cell][1] for cell, own in cells.items() if own):
            spaces |= {cell: space for cell, (space, _) in extended.items()}
    return spaces


def _for_every_budget(config: ConfigDict, grid: Grid, chosen: Chosen) -> Chosen:
    if config.tuning.budgets == "each":
        return chosen
    tuned = _largest_of_all(grid)
    return {(arm.name, budget): chosen[arm.name, tuned] for arm in grid.arms for budget in grid.budgets_of[arm.name]}
