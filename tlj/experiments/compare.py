"""The main job: train the source if there is to be one, train the grid, time the steps."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.step_time import is_measured, mean_phase_steps, measure_step_times
from tlj.distributed import agree, is_main
from tlj.errors import InputError
from tlj.experiments.arms import Arm
from tlj.experiments.grid import Grid, make_grid
from tlj.experiments.runner import check_same_config, run_all, train_one
from tlj.training.identity import resolve_run, run_hash
from tlj.training.manifest import format_label_table, label_table, start_of
from tlj.training.model_source import source_identity
from tlj.training.programs import Programs, count_compilations
from tlj.training.run_files import write_json
from tlj.training.run_lock import only_here
from tlj.training.setup import Setup, set_up

# Tasks with an accuracy; what the evidence says of others is not settled.
_JUDGED = ("multiclass", "binary")


def _check_workdir(config: ConfigDict, grid: Grid, workdir: pathlib.Path) -> None:
    """Checks that the workdir is new or holds this comparison, judged by the same margin."""
    if (workdir / "manifest.json").exists():
        raise InputError("a run, not a comparison", where=str(workdir), do="give another --workdir")
    begun = workdir / "comparison.json"
    margin = json.loads(begun.read_text())["margin"] if begun.exists() else config.margin
    if margin != config.margin and any((workdir / run.folder / "summary.json").exists() for run in grid.runs):
        raise InputError(
            f"the margin was declared as {margin} before the first run and is {config.margin} now",
            where="config.margin",
            do="keep it, or use another --workdir",
        )


def check_before_work(config: ConfigDict, grid: Grid, workdir: pathlib.Path) -> dict[str, Setup]:
    """Sets every run up without training anything, so that a mistake in the last arm costs no work on the first.

    Args:
      config: of the comparison.
      grid: its runs.
      workdir: of the comparison.

    Returns:
      A setup of each arm, for its label table; one that a source is to be trained for has none.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    _check_workdir(config, grid, workdir)
    if config.task not in _JUDGED:
        what = f"a comparison is judged by accuracy, which {config.task} has none of"
        raise InputError(what, where="config.task", do=f"set it to {' or '.join(_JUDGED)}, or use `tlj train`")
    setups = {}
    for run in grid.runs:
        check_same_config(workdir / run.folder, run.config)
        # The source that a run will load may not be there yet; its architecture is known from the config.
        known = {**run.config, "model": {**run.config["model"], "source": ""}} if grid.source else run.config
        try:
            setups[run.arm.name] = set_up(known, workdir, needs_source=not grid.source)
        except InputError as error:
            raise _of_arm(error, run.arm, config) from error
    if grid.source:
        _check_source(config, grid.source, workdir, next(iter(setups.values())))
    return setups


def _of_arm(error: InputError, arm: Arm, config: ConfigDict) -> InputError:
    """Returns the error with the arm it is about, under the key that the user wrote."""
    where = error.where
    if where == "config.strategy":
        where = f"config.arms[{[configuration.arm_name(text) for text in config.arms].index(arm.name)}]"
    do = error.do
    if where.startswith("config.groups."):
        do = f"{do}; settings of one arm's groups go under config.declared"
    return InputError(f"{error.what} (arm {arm.name!r})", where=where, nearest=error.nearest, do=do)


def _check_source(config: ConfigDict, source: dict[str, Any], workdir: pathlib.Path, arm: Setup) -> None:
    """Checks that the source to be trained is the one the runs will load, and that they can."""
    check_same_config(workdir / "source", source)
    spec = dataclasses.replace(set_up(source, workdir).spec, num_classes=arm.spec.num_classes)
    if spec != arm.spec:
        raise InputError(
            f"the source would be {spec}, the runs {arm.spec}", where="config.pretrain.model", do="make them the same"
        )
    if config.model.source != "source":
        raise InputError(
            f"config.pretrain makes the model source in 'source', but the source is {config.model.source!r}",
            where="config.model.source",
            do="set it to 'source', or empty config.pretrain",
        )


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


def _measure_step_times(grid: Grid, workdir: pathlib.Path, programs: Programs) -> None:
    """Writes ``step_time.json``, unless it is there for these arms, this model and this device."""
    path = workdir / "step_time.json"
    firsts = {arm.name: next(run for run in grid.runs if run.arm == arm) for arm in grid.arms}
    setups = {name: set_up(run.config, workdir) for name, run in firsts.items()}
    summaries: dict[str, list[dict[str, Any]]] = {name: [] for name in setups}
    for run in grid.runs:
        summaries[run.arm.name].append(json.loads((workdir / run.folder / "summary.json").read_text()))
    phase_steps = {name: mean_phase_steps(summaries[name], len(setup.phases)) for name, setup in setups.items()}
    if not agree(is_measured(json.loads(path.read_text()) if path.exists() else {}, setups, phase_steps)):
        measured = measure_step_times(setups, programs, phase_steps)
        if is_main():
            write_json(path, measured)


def _describe(config: ConfigDict, grid: Grid, setups: Mapping[str, Setup], command: str) -> dict[str, Any]:
    """What ``comparison.json`` says: all that the evidence needs to know besides the runs' own files."""
    return {
        "task": config.data.source,
        "source_task": grid.source["data"]["source"] if grid.source else None,
        "metric": "accuracy",
        "margin": config.margin,
        "twin": grid.twin,
        "arms": [
            {
                "arm": arm.name,
                "strategy": arm.strategy,
                "init": arm.init,
                "control": setups[arm.name].control,
                "declared": configuration.to_dict(config.declared).get(arm.name, {}),
                "diff": grid.diffs[arm.name],
            }
            for arm in grid.arms
        ],
        "budgets": list(grid.budgets),
        "seeds": list(grid.seeds),
        "model": {"family": config.model.family, **configuration.to_dict(config.model.settings)},
        "steps": config.steps,
        "global_batch_size": grid.runs[0].config["global_batch_size"],
        "command": command,
        "runs": [
            {"arm": run.arm.name, "budget": run.budget, "seed": run.seed, "path": str(run.folder)} for run in grid.runs
        ],
    }


def compare(config: ConfigDict, command: str) -> pathlib.Path:
    """Trains every run of a comparison that is not done yet; what is done is left as it is.

    Args:
      config: of the comparison, with a workdir.
      command: the user's command line, for the report.

    Returns:
      The workdir, ready for ``tlj.evidence``.

    Raises:
      InputError: for anything in the config that cannot be done, before any work; or where another process is at work
        in the workdir.
    """
    workdir = pathlib.Path(config.workdir)
    grid = make_grid(config)
    setups = check_before_work(config, grid, workdir)
    if is_main() and any(not (workdir / run.folder / "summary.json").exists() for run in grid.runs):
        _print_label_tables(setups)
    begin, programs = time.monotonic(), Programs()
    with only_here(workdir), count_compilations() as compiled:
        if is_main():
            write_json(workdir / "config.json", {**configuration.to_dict(config), "workdir": ""})
            write_json(workdir / "comparison.json", _describe(config, grid, setups, command))
        if grid.source:
            _train_source(grid.source, workdir, programs)
        trained = run_all(grid.runs, workdir, programs, config.experiments.workers)
        _measure_step_times(grid, workdir, programs)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(compiled.items()))
    if is_main():
        print(
            f"{trained} runs trained, {len(grid.runs) - trained} already done, in {time.monotonic() - begin:.0f} s; "
            f"{sum(compiled.values())} programs compiled" + (f" ({counts})" if counts else ""),
            file=sys.stderr,
        )
    return workdir


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
