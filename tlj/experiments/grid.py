"""The grid: every arm at every label budget and seed, each with the resolved config of its run."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.data.parts import pool_and_test
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.experiments.arm_configs import Values, arm_comparison, arm_config, declared_of, source_config
from tlj.experiments.arms import Arm, parse_arm
from tlj.experiments.twins import twin_diff
from tlj.training.identity import run_hash
from tlj.training.model_source import source_identity

# What a search chose for an arm at a label budget, by dotted key.
Chosen = Mapping[tuple[str, int], Values]


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of the grid.

    Attributes:
      arm: what is trained.
      budget: number of labelled examples.
      seed: shared with the twin.
      config: resolved, nested.
      folder: of the run, below the workdir.
      parity: what it has in common with the twin's runs: ``steps``, ``flops`` or ``seconds``.
    """

    arm: Arm
    budget: int
    seed: int
    config: dict[str, Any]
    folder: pathlib.PurePosixPath
    parity: str = "steps"

    @property
    def config_hash(self) -> str:
        """Hash of the resolved config."""
        return run_hash(self.config)

    @property
    def about(self) -> str:
        """Names the run in a line of progress."""
        return f"{self.arm.name}, {self.budget} labels, seed {self.seed}"


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """All runs of a comparison.

    Attributes:
      arms: in the config's order.
      twin: the name of the arm that the others pair with.
      budgets: label budgets as numbers, ascending.
      seeds: in the config's order.
      runs: seed by seed, so that a comparison that is cut short has whole pairs.
      diffs: what differs between each arm and its twin, by arm name.
      source: the resolved config of the run that makes the model source, or None.
      budgets_of: the label budgets of each arm, by name; an arm may be declared to have some of them alone.
      spaces: the range of every tuned key, by arm.
      source_hash: of the model source, which every run's config carries.
    """

    arms: tuple[Arm, ...]
    twin: str
    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]
    diffs: dict[str, dict[str, list[Any]]]
    source: dict[str, Any] | None
    budgets_of: dict[str, tuple[int, ...]]
    spaces: dict[str, dict[str, Any]]
    source_hash: str


def label_counts(config: ConfigDict) -> tuple[int, ...]:
    """Returns the label budgets as numbers, ascending; ``"all"`` is the whole labelled pool.

    Raises:
      InputError: where two budgets are the same number.
    """
    pool, _ = pool_and_test(open_source(DataSettings.of(config.data, config.task)), config.data)
    counts = sorted(len(pool) if budget == "all" else budget for budget in config.label_budgets)
    if len(set(counts)) != len(counts):
        raise InputError(
            f"two budgets are the same number: {counts}", where="config.label_budgets", do="name each once"
        )
    return tuple(counts)


def parse_arms(config: ConfigDict) -> tuple[tuple[Arm, ...], Arm]:
    """Returns the arms of a comparison in its order, and its twin.

    Raises:
      InputError: for an arm that makes no sense, two arms whose runs would lie in one folder, a twin that does not
        start from scratch, or rules that no arm reads.
    """
    arms = tuple(parse_arm(text, where=f"config.arms[{i}]") for i, text in enumerate(config.arms))
    # Not every file system tells upper case from lower.
    folders = [arm.folder.casefold() for arm in arms]
    for i, arm in enumerate(arms):
        if (first := folders.index(folders[i])) < i:
            what = f"the runs of {arm.name!r} and {arms[first].name!r} would lie in one folder, {arm.folder}"
            raise InputError(what, where=f"config.arms[{i}]", do="give one another name, NAME=ARM")
    twin = next(arm for arm in arms if arm.name == config.twin)
    if twin.init != "scratch":
        what = f"the twin {twin.name!r} starts from init {twin.init!r}"
        raise InputError(what, where="config.twin", do="name an arm that starts from scratch")
    if config.rules and not any(arm.strategy.partition("+")[0] == "rules" for arm in arms):
        raise InputError("no arm reads the rules", where="config.rules", do="add the arm 'rules', or leave them out")
    return arms, twin


def make_grid(config: ConfigDict, chosen: Chosen | None = None) -> Grid:
    """Lays out the runs of a comparison and checks every pair of configs.

    Args:
      config: of the comparison.
      chosen: what a search chose; None before there is one.

    Raises:
      InputError: for an arm that makes no sense, or that differs from its twin in what is not declared.
    """
    arms, twin = parse_arms(config)
    source = source_config(config)
    source_hash = run_hash(source) if source else _hash_of_files(config)
    as_declared = {arm.name: arm_comparison(config, arm) for arm in arms}
    spaces = {name: configuration.flatten(own.tuning.space) for name, own in as_declared.items()}
    configs = {arm.name: arm_config(config, arm, source_hash) for arm in arms}
    diffs = {arm.name: _diff(config, arm, twin, configs, spaces) for arm in arms}
    budgets_of = {name: label_counts(own) for name, own in as_declared.items()}
    grid = Grid(
        arms=arms,
        twin=twin.name,
        budgets=tuple(sorted({budget for budgets in budgets_of.values() for budget in budgets})),
        seeds=tuple(config.seeds),
        runs=(),
        diffs=diffs,
        source=source,
        budgets_of=budgets_of,
        spaces=spaces,
        source_hash=source_hash,
    )
    settled = chosen or {}
    tuned = {key: arm_config(config, _named(arms, key[0]), source_hash, values) for key, values in settled.items()}
    configs_at = {(arm.name, b): tuned.get((arm.name, b), configs[arm.name]) for arm in arms for b in grid.budgets}
    return dataclasses.replace(grid, runs=lay_out(grid, configs_at, grid.seeds))


def lay_out(
    grid: Grid,
    configs: Mapping[tuple[str, int], Mapping[str, Any]],
    seeds: Iterable[int],
    cells: Sequence[tuple[str, int]] | None = None,
) -> tuple[PlannedRun, ...]:
    """Returns the runs of every arm at every budget of its own, seed by seed.

    Args:
      grid: whose arms and budgets are meant.
      configs: resolved, by arm and budget.
      seeds: of the runs.
      cells: the arms and budgets that are meant; None is all.
    """
    return tuple(
        PlannedRun(
            arm,
            budget,
            seed,
            {**configs[arm.name, budget], "label_budget": budget, "seed": seed},
            pathlib.PurePosixPath("runs", arm.folder, str(budget), str(seed)),
        )
        for seed in seeds
        for budget in grid.budgets
        for arm in grid.arms
        if budget in grid.budgets_of[arm.name] and (cells is None or (arm.name, budget) in cells)
    )


def _named(arms: Iterable[Arm], name: str) -> Arm:
    return next(arm for arm in arms if arm.name == name)


def _diff(
    config: ConfigDict, arm: Arm, twin: Arm, configs: Mapping[str, Values], spaces: Mapping[str, Values]
) -> dict[str, list[Any]]:
    """What differs between an arm and its twin, ranges of a search included, all of it declared."""
    declared = {**declared_of(config, twin), **declared_of(config, arm)}
    both = ({**configs[name], "tuning": {"space": spaces[name]}} for name in (arm.name, twin.name))
    return twin_diff(*both, declared, where=f"arm {arm.name!r} and twin {twin.name!r}")


def _hash_of_files(config: ConfigDict) -> str:
    """The identity of a model source that this comparison does not train, or nothing where there is none."""
    return source_identity(configuration.to_dict(config.model), pathlib.Path(config.workdir))
