"""The grid: every arm at every label budget and seed, each with the resolved config of its run."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.data.sources import open_source
from tlj.data.splits import split_off_test
from tlj.errors import InputError
from tlj.experiments.arms import Arm, parse_arm
from tlj.experiments.twins import twin_diff

# Keys that say how runs are arranged and shown, and change nothing in one.
ARRANGEMENT = ("workdir", "seeds", "label_budgets", "arms", "twin", "declared", "pretrain", "margin", "experiments")


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
        return configuration.digest(self.config)


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


def run_config(config: ConfigDict, **values: Any) -> dict[str, Any]:
    """Returns the resolved config of one run: the comparison's, less its arrangement, with the run's own values."""
    nested = {**configuration.to_dict(config), **values}
    return {name: value for name, value in nested.items() if name not in ARRANGEMENT}


def _arm_config(config: ConfigDict, arm: Arm, budget: int, seed: int) -> dict[str, Any]:
    declared = config.declared.get(arm.name, {})
    merged = configuration.merge(config, declared, where=f"config.declared.{arm.name}")
    return run_config(merged, strategy=arm.strategy, init=arm.init, label_budget=budget, seed=seed)


def _source_config(config: ConfigDict) -> dict[str, Any] | None:
    if not config.pretrain:
        return None
    merged = configuration.merge(config, config.pretrain, where="config.pretrain")
    values = run_config(merged, strategy="scratch", init="scratch")
    return {**values, "model": {**values["model"], "source": ""}}


def label_counts(config: ConfigDict) -> tuple[int, ...]:
    """Returns the label budgets as numbers, ascending; ``"all"`` is the whole labelled pool.

    Raises:
      InputError: where two budgets are the same number.
    """
    pool, _ = split_off_test(open_source(config.data.source).labels, config.data.test_fraction, config.data.split_seed)
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
    budgets = label_counts(config)
    runs, diffs = [], {}
    declared = configuration.to_dict(config.declared)
    for seed in config.seeds:
        for budget in budgets:
            twin_config = _arm_config(config, twin, budget, seed)
            for arm in arms:
                resolved = _arm_config(config, arm, budget, seed)
                both = _joined(declared.get(twin.name, {}), declared.get(arm.name, {}))
                diffs[arm.name] = twin_diff(
                    resolved, twin_config, both, where=f"arm {arm.name!r} and twin {twin.name!r}"
                )
                folder = pathlib.PurePosixPath("runs", arm.folder, str(budget), str(seed))
                runs.append(PlannedRun(arm, budget, seed, resolved, folder))
    return Grid(arms, twin.name, budgets, tuple(config.seeds), tuple(runs), diffs, _source_config(config))


def _joined(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both, flat; values do not matter to what is declared."""
    return {**configuration.flatten(a), **configuration.flatten(b)}
