"""All of a comparison checked before any of it is trained: a mistake in the last arm costs no work on the first."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import InputError
from tlj.evidence.judging.adaptive import seeds_rule
from tlj.evidence.money.prices import read_prices
from tlj.experiments.arms import Arm
from tlj.experiments.grid import Grid, PlannedRun
from tlj.experiments.runner import check_same_config
from tlj.experiments.screening import source_data
from tlj.experiments.tuning import check_tuning, describe_search, first_trials
from tlj.metric_names import judged_metric
from tlj.named_paths import named_path
from tlj.streams import THREEFRY
from tlj.training.cached.room import check_room_of_all
from tlj.training.setup import Setup, set_up


def declared_rules(config: ConfigDict) -> dict[str, Any]:
    """Returns what a comparison is judged by, as ``comparison.json`` has it: fixed before the first run.

    Args:
      config: of the comparison.

    Raises:
      InputError: for a metric that the task has not, or a second look after one seed.
    """
    try:
        rule = seeds_rule(len(config.seeds), config.most_seeds).to_json() if config.most_seeds else None
    except InputError as error:
        raise InputError(error.what, where="config.seeds", do=error.do) from error
    return {"metric": judged_metric(config.metric, config.task), "margin": config.margin, "seeds_rule": rule}


def _check_workdir(config: ConfigDict, grid: Grid, workdir: pathlib.Path) -> None:
    """Checks that the workdir is new or holds this comparison, judged by the rules that it began with."""
    if (workdir / "manifest.json").exists():
        raise InputError("a run, not a comparison", where=str(workdir), do="give another --workdir")
    begun, rules = workdir / "comparison.json", declared_rules(config)
    before = json.loads(begun.read_text()) if begun.exists() else {}
    changed = [name for name, rule in rules.items() if name in before and before[name] != rule]
    if changed and any((workdir / run.folder / "summary.json").exists() for run in grid.runs):
        name = changed[0]
        where = "config.most_seeds" if name == "seeds_rule" else f"config.{name}"
        told = ("no rule" if rule is None else rule for rule in (before[name], rules[name]))
        raise InputError(
            "the {} was declared as {} before the first run and is {} now".format(name.replace("_", " "), *told),
            where=where,
            do="keep it, or use another --workdir",
        )
    _check_search(config, grid, workdir, before)


def _check_search(config: ConfigDict, grid: Grid, workdir: pathlib.Path, before: Mapping[str, Any]) -> None:
    """Checks that runs which are there already were begun after the same search, which would choose otherwise now."""
    folders = (workdir / "runs" / arm.folder for arm in grid.arms)
    if (
        not before
        or not config.tuning.trials
        or not any(next(folder.glob("*/*/config.json"), None) for folder in folders)
    ):
        return
    search, do = describe_search(config, grid), "keep it, or use another --workdir"
    known = before.get("tuning")
    if known is None:
        what = "runs are there that were begun without a search"
        raise InputError(what, where="config.tuning.trials", do="use another --workdir, or 0")
    for name, value in search.items():
        was = known.get(name)
        if name == "spaces":
            # An arm that is new has a range that was not there before.
            was, value = ({arm: of[arm] for arm in (was or {}).keys() & value.keys()} for of in (was or {}, value))
        if was != value:
            where = f"config.tuning.{'trials' if name == 'per_arm' else 'space' if name == 'spaces' else name}"
            raise InputError(f"it was {was} before the first run and is {value} now", where=where, do=do)


def check_prices(config: ConfigDict) -> None:
    """Checks the file of prices, and that there is one where dollars are to end a comparison.

    Raises:
      InputError: where it cannot be read.
    """
    if config.prices:
        read_prices(named_path(config.prices, "config.prices"))
    elif config.exit.dollars:
        do = "name a file, such as configs/prices.toml"
        raise InputError("dollars are to end it, and nothing says what an hour costs", where="config.prices", do=do)


def check_batch_runs(config: ConfigDict) -> None:
    """Checks that runs can be trained together as a config says.

    Raises:
      InputError: where they cannot on these devices, or would not draw the numbers that they draw by themselves.
    """
    if config.experiments.batch_runs == 1:
        return
    where = "config.experiments.batch_runs"
    if config.parallel.mode == "pmap":
        what = "runs are trained together by jit alone"
        raise InputError(what, where=where, do="set it to 1, or config.parallel.mode to jit")
    if jax.process_count() > 1:
        what = f"runs are trained together in one process, and there are {jax.process_count()}"
        raise InputError(what, where=where, do="set it to 1")
    # Another generator gives other numbers under vmap than by itself.
    if config.prng != THREEFRY:
        what = f"keys of {config.prng} would draw other numbers for runs together than for each by itself"
        raise InputError(what, where=where, do=f"set it to 1, or config.prng to {THREEFRY}")


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
    if not config.evaluate.test:
        what = "a comparison is judged on the test split, and its runs would leave it shut"
        raise InputError(what, where="config.evaluate.test", do="leave it out; `tlj train` takes it")
    _check_workdir(config, grid, workdir)
    check_tuning(config, grid)
    check_prices(config)
    check_batch_runs(config)
    setups = {}
    for run in grid.runs:
        if not config.tuning.trials:
            # Those of a search are checked once it has chosen.
            check_same_config(workdir / run.folder, run.config)
        try:
            setups[run.arm.name] = set_up(_known(run, grid), workdir, needs_source=not grid.source)
        except InputError as error:
            raise _of_arm(error, run.arm, config) from error
    trials = first_trials(config, grid)
    for trial in trials:
        for run in trial.runs:
            check_same_config(workdir / run.folder, run.config)
    # What a trial draws may be what its runs cannot do; it is the same at every label budget.
    for trial in {(trial.arm, trial.number): trial for trial in trials}.values():
        set_up(_known(trial.runs[0], grid), workdir, needs_source=not grid.source)
    if grid.source:
        _check_source(config, grid.source, workdir, next(iter(setups.values())))
    if not (workdir / "source" / "summary.json").exists():
        # Of a source that was trained there may be activations already: each run asks for the room of what is missing.
        check_room_of_all(setups.values(), len(config.seeds))
    # What is screened is looked at after the source is trained: a mistake in its name is told before.
    source_data(config, grid, next(iter(setups.values())).spec)
    return setups


def _known(run: PlannedRun, grid: Grid) -> dict[str, Any]:
    """The config of a run without a source that may not be there yet: its architecture is known from the rest."""
    return {**run.config, "model": {**run.config["model"], "source": ""}} if grid.source else run.config


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
    # The head is each run's own.
    own = dict(num_classes=arm.spec.num_classes, head_layers=arm.spec.head_layers)
    spec = dataclasses.replace(set_up(source, workdir).spec, **own)
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
