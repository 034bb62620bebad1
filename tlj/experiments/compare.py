"""The main job: train the source if there is to be one, tune, train the grid, time the steps."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.step_time import is_measured, mean_phase_steps, measure_step_times
from tlj.distributed import agree, is_main
from tlj.errors import InputError
from tlj.experiments.added_seeds import added_runs
from tlj.experiments.checks import check_before_work
from tlj.experiments.description import describe, going_on
from tlj.experiments.drift import measure_drift
from tlj.experiments.exits import Exits, declared_exit, open_exits, write_ended
from tlj.experiments.grid import Chosen, Grid, PlannedRun, make_grid
from tlj.experiments.parities import plan_parity
from tlj.experiments.price_file import copy_prices
from tlj.experiments.runner import check_same_config, run_all, train_one
from tlj.experiments.screening import screen
from tlj.experiments.tuning import PlannedTrial, tune
from tlj.training.identity import resolve_run, run_hash
from tlj.training.manifest import format_label_table, label_table, start_of
from tlj.training.model_source import source_identity
from tlj.training.programs import Programs, count_compilations
from tlj.training.run_files import write_json
from tlj.training.run_lock import only_here
from tlj.training.setup import Setup, set_up


def _print_label_tables(setups: Mapping[str, Setup]) -> None:
    """Says what each arm trains, before any of it is trained."""
    for arm, setup in setups.items():
        if setup.pretrained is not None:
            print(f"{arm}: {setup.init} from {setup.config['model']['source']}: {setup.load_plan}", file=sys.stderr)
        for phase in setup.phases:
            print(
                f"{arm}, from {start_of(phase)['start_rule']}:\n{format_label_table(label_table(setup, phase))}",
                file=sys.stderr,
            )


def _timed(config: Mapping[str, Any], seconds: bool) -> dict[str, Any]:
    """The config of a run whose steps are timed; of a parity of seconds, as steps that start from inputs."""
    # Activations are cached or not as a machine has room: how much an arm may train must not hang on that.
    return {**config, "cache": {**config["cache"], "activations": "none", "views": 0}} if seconds else dict(config)


def _measure_step_times(grid: Grid, workdir: pathlib.Path, programs: Programs, seconds: bool) -> None:
    """Writes ``step_time.json``, unless it is there for these arms, this model and this device."""
    path = workdir / "step_time.json"
    done = [run for run in grid.runs if agree((workdir / run.folder / "summary.json").exists())]
    firsts = {run.arm.name: run for run in reversed(done)}
    setups = {name: set_up(_timed(run.config, seconds), workdir) for name, run in firsts.items()}
    summaries: dict[str, list[dict[str, Any]]] = {name: [] for name in setups}
    for run in done:
        summaries[run.arm.name].append(json.loads((workdir / run.folder / "summary.json").read_text()))
    phase_steps = {name: mean_phase_steps(summaries[name], len(setup.phases)) for name, setup in setups.items()}
    if not agree(is_measured(json.loads(path.read_text()) if path.exists() else {}, setups, phase_steps)):
        measured = measure_step_times(setups, programs, phase_steps)
        if is_main():
            write_json(path, measured)


@dataclasses.dataclass
class _Course:
    """A comparison under way: what is planned by now, and what became of it."""

    config: ConfigDict
    workdir: pathlib.Path
    grid: Grid
    controls: Mapping[str, str]
    command: str
    programs: Programs
    exits: Exits
    trials: Sequence[PlannedTrial] = ()
    others: tuple[PlannedRun, ...] = ()
    trained: int = 0
    failed: tuple[str, ...] = ()
    ended: str = ""

    def describe(self) -> None:
        """Writes down what is planned by now."""
        if is_main():
            path = self.workdir / "comparison.json"
            before = json.loads(path.read_text()) if path.exists() else {}
            now = describe(self.config, self.grid, self.controls, self.command, self.trials, self.others)
            write_json(path, going_on(before, now))

    def train(self, runs: Sequence[PlannedRun]) -> bool:
        """Trains those that are not done, and returns whether every one was begun."""
        planned = [*self.grid.runs, *self.others, *(run for trial in self.trials for run in trial.runs)]
        how = self.config.experiments
        outcome = run_all(
            runs,
            self.workdir,
            self.programs,
            how.workers,
            lambda: self.exits.reason(planned),
            batch_runs=how.batch_runs,
            # What is cut short is to have whole pairs.
            seed_by_seed=bool(declared_exit(self.config)),
        )
        self.trained += outcome.trained
        self.failed = tuple(sorted({*self.failed, *outcome.failed}))
        self.ended = outcome.ended
        return not outcome.ended


def compare(config: ConfigDict, command: str) -> pathlib.Path:
    """Trains every run of a comparison that is not done yet; what is done is left as it is.

    Args:
      config: of the comparison, with a workdir.
      command: the user's command line, for the report.

    Returns:
      The workdir, ready for ``tlj.evidence``; it tells which runs failed.

    Raises:
      InputError: for anything in the config that cannot be done, before any work; or where another process is at work
        in the workdir.
      RunError: where every trial of an arm failed.
    """
    workdir = pathlib.Path(config.workdir)
    grid = make_grid(config)
    setups = check_before_work(config, grid, workdir)
    if is_main() and any(not (workdir / run.folder / "summary.json").exists() for run in grid.runs):
        _print_label_tables(setups)
    begin, programs = time.monotonic(), Programs()
    controls = {name: setup.control for name, setup in setups.items()}
    exits = open_exits(config, workdir)
    course = _Course(config, workdir, grid, controls, command, programs, exits)
    with only_here(workdir), count_compilations() as compiled:
        if is_main():
            write_json(workdir / "config.json", {**configuration.to_dict(config), "workdir": ""})
            copy_prices(config, workdir)
        # It goes on: what ended it before may end it again, and is not to be read until it has.
        write_ended(workdir, "", {})
        course.describe()
        if grid.source:
            _train_source(grid.source, workdir, programs)
        screen(config, grid, workdir, programs)
        _run_through(course)
        write_ended(workdir, course.ended, declared_exit(config))
    counts = ", ".join(f"{name} {count}" for name, count in sorted(compiled.items()))
    if is_main():
        runs = len({run.folder for run in (*course.grid.runs, *course.others)} | _folders(course.trials))
        print(
            f"{course.trained} runs trained, {runs - course.trained - len(course.failed)} already done or not begun, "
            f"{len(course.failed)} failed, in {time.monotonic() - begin:.0f} s; "
            f"{sum(compiled.values())} programs compiled" + (f" ({counts})" if counts else ""),
            file=sys.stderr,
        )
        if course.ended:
            print(f"tlj: ended: {course.ended}", file=sys.stderr)
    return workdir


def _folders(trials: Sequence[PlannedTrial]) -> set[pathlib.PurePosixPath]:
    return {run.folder for trial in trials for run in trial.runs}


def _run_through(course: _Course) -> None:
    """Does what is left of a comparison, stage by stage, until it is done or an exit criterion holds."""
    config, workdir = course.config, course.workdir
    chosen = None
    if config.tuning.trials:
        chosen = _tune(course)
        if chosen is None:
            return
        course.grid = make_grid(config, chosen)
        for run in course.grid.runs:
            check_same_config(workdir / run.folder, run.config)
        course.describe()
    if not course.train(course.grid.runs):
        return
    if more := added_runs(config, course.grid, workdir):
        course.grid = dataclasses.replace(course.grid, runs=(*course.grid.runs, *more))
        course.describe()
        if not course.train(course.grid.runs):
            return
    _measure_step_times(course.grid, workdir, course.programs, "seconds" in config.parities)
    measure_drift(config, course.grid, workdir, course.programs)
    for parity in ("flops", "seconds"):
        if parity in config.parities:
            course.others += plan_parity(parity, config, course.grid, workdir, chosen)
            course.describe()
            if not course.train([run for run in course.others if run.parity == parity]):
                return


def _tune(course: _Course) -> Chosen | None:
    """Searches, and returns what was chosen; None where an exit criterion held before the end."""

    def train(runs: Sequence[PlannedRun], trials: Sequence[PlannedTrial]) -> bool:
        for run in runs:
            # Trial 5 of another search, or of ranges extended elsewhere, lies where this one is to lie.
            check_same_config(course.workdir / run.folder, run.config)
        course.trials = trials
        course.describe()
        return course.train(runs)

    _, chosen = tune(course.config, course.grid, course.workdir, train)
    return chosen


def _train_source(config: dict[str, Any], workdir: pathlib.Path, programs: Programs) -> None:
    directory = workdir / "source"
    if not agree((directory / "summary.json").exists()):
        what = f"source, {config['data']['source']}"
        train_one(config, directory, workdir, what, run_hash(config), programs)


def set_up_run(config: ConfigDict) -> tuple[dict[str, Any], Setup]:
    """Returns the resolved config of the one run that ``train`` trains, and its setup; nothing is written.

    Args:
      config: as ``train`` takes it.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    directory = pathlib.Path(config.workdir)
    if (directory / "comparison.json").exists():
        raise InputError("a comparison, not a run", where=str(directory), do="give another --workdir")
    resolved = resolve_run(configuration.run_config(config))
    if config.model.source:
        resolved["model"]["source_hash"] = source_identity(resolved["model"], pathlib.Path(os.curdir))
    check_same_config(directory, resolved)
    return resolved, set_up(resolved, pathlib.Path(os.curdir))


def train(config: ConfigDict) -> pathlib.Path:
    """Trains the one run that a config's own ``strategy``, ``init``, ``label_budget`` and ``seed`` describe.

    Args:
      config: with a workdir, which becomes the run directory; a relative ``model.source`` is relative to where the
        command runs.

    Returns:
      The run directory.

    Raises:
      InputError: for anything in the config that cannot be done, before any work.
    """
    directory, (resolved, setup) = pathlib.Path(config.workdir), set_up_run(config)
    if is_main():
        _print_label_tables({config.strategy: setup})
    what = f"{config.strategy}, {config.data.source}"
    base = pathlib.Path(os.curdir)
    summary = train_one(resolved, directory, base, what, run_hash(resolved), Programs())
    metrics = ", ".join(
        f"{name} {value:.4f}" for name, value in sorted(summary["metrics"].items()) if value is not None
    )
    if is_main():
        print(metrics, file=sys.stderr)
    return directory
