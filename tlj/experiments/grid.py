"""The grid: every arm at every label budget and seed, each with the resolved config of its run."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.data.parts import pool_and_test
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.experiments.arms import Arm, parse_arm
from tlj.experiments.twins import twin_diff
from tlj.training.identity import resolve_run, run_hash
from tlj.training.model_source import source_identity


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of the grid.

    Attributes:
      arm: what is trained.
      budget: number of labelled examples.
      seed: shared with the twin.
      config: resolved, nested.
      folder: of the run, below the workdir.
    """

    arm: Arm
    budget: int
    seed: int
    config: dict[str, Any]
    folder: pathlib.PurePosixPath

    @property
    def config_hash(self) -> str:
        """Hash of the resolved config."""
        return run_hash(self.config)


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
    """

    arms: tuple[Arm, ...]
    twin: str
    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]
    diffs: dict[str, dict[str, list[Any]]]
    source: dict[str, Any] | None


# What makes two runs a pair, or their test the same, may not be declared away; the rest is the comparison's to lay out.
_SHARED = (
    *("data.source", "data.columns", "data.classes", "data.on_error", "data.skip_limit", "data.text.tokenizer"),
    *("data.train", "data.test", "data.test_fraction", "data.split_seed", "data.split_from", "data.min_per_class"),
    *("task", "model", "dtype"),
)
_LAID_OUT = ("strategy", "init", "seed", "label_budget", *configuration.ARRANGEMENT)


def _refuse(overrides: Mapping[str, Any], refused: tuple[str, ...], where: str, why: str) -> None:
    for key in configuration.flatten(overrides):
        if any(key == name or key.startswith(f"{name}.") for name in refused):
            raise InputError(f"{key!r} {why}", where=f"{where}.{key}", do="leave it out")


def _arm_config(config: ConfigDict, arm: Arm, source_hash: str) -> dict[str, Any]:
    declared, where = config.declared.get(arm.name, {}), f"config.declared.{arm.name}"
    _refuse(declared, _SHARED, where, "is shared by all arms of a comparison")
    _refuse(declared, _LAID_OUT, where, "is laid out by the comparison")
    merged = configuration.merge(config, declared, where=where)
    resolved = configuration.run_config(merged, strategy=arm.strategy, init=arm.init)
    # The source is named by a path; its hash keeps runs on one source apart from runs on the next at the same path.
    resolved = {**resolved, "model": {**resolved["model"], "source_hash": source_hash}}
    # Rules are for the arms whose strategy they are.
    return resolve_run(resolved if arm.strategy.partition("+")[0] == "rules" else {**resolved, "rules": []})


def _source_config(config: ConfigDict) -> dict[str, Any] | None:
    if not config.pretrain:
        return None
    taken = ("strategy", "init", "model.source", *configuration.ARRANGEMENT)
    _refuse(config.pretrain, taken, "config.pretrain", "means nothing to the source, which is trained from scratch")
    merged = configuration.merge(config, config.pretrain, where="config.pretrain")
    values = configuration.run_config(merged, strategy="scratch", init="scratch")
    # Rules and settings of groups are for the arms.
    groups = configuration.to_dict(config.pretrain).get("groups", {})
    return resolve_run({**values, "model": {**values["model"], "source": ""}, "rules": [], "groups": groups})


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


def make_grid(config: ConfigDict) -> Grid:
    """Lays out the runs of a comparison and checks every pair of configs.

    Raises:
      InputError: for an arm that makes no sense, or that differs from its twin in what is not declared.
    """
    arms = tuple(parse_arm(text, where=f"config.arms[{i}]") for i, text in enumerate(config.arms))
    twin = parse_arm(config.twin, where="config.twin")
    if twin.init != "scratch":
        what = f"the twin {twin.name!r} starts from init {twin.init!r}"
        raise InputError(what, where="config.twin", do="name an arm that starts from scratch")
    if config.rules and not any(arm.strategy.partition("+")[0] == "rules" for arm in arms):
        raise InputError("no arm reads the rules", where="config.rules", do="add the arm 'rules', or leave them out")
    source = _source_config(config)
    source_hash = run_hash(source) if source else _hash_of_files(config)
    configs = {arm.name: _arm_config(config, arm, source_hash) for arm in (*arms, twin)}
    declared = configuration.to_dict(config.declared)
    diffs = {}
    for arm in arms:
        both = _joined(declared.get(twin.name, {}), declared.get(arm.name, {}))
        where = f"arm {arm.name!r} and twin {twin.name!r}"
        diffs[arm.name] = twin_diff(configs[arm.name], configs[twin.name], both, where=where)
    budgets = label_counts(config)
    runs = tuple(
        PlannedRun(
            arm,
            budget,
            seed,
            {**configs[arm.name], "label_budget": budget, "seed": seed},
            pathlib.PurePosixPath("runs", arm.folder, str(budget), str(seed)),
        )
        for seed in config.seeds
        for budget in budgets
        for arm in arms
    )
    return Grid(arms, twin.name, budgets, tuple(config.seeds), runs, diffs, source)


def _hash_of_files(config: ConfigDict) -> str:
    """The identity of a model source that this comparison does not train, or nothing where there is none."""
    return source_identity(configuration.to_dict(config.model), pathlib.Path(config.workdir))


def _joined(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both, flat; values do not matter to what is declared."""
    return {**configuration.flatten(a), **configuration.flatten(b)}
