"""The resolved config of an arm's runs: the comparison's, with what is declared for the arm and what a search chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import InputError
from tlj.experiments.arms import Arm
from tlj.training.identity import resolve_run

# What makes two runs a pair, or their test the same, may not be declared away; the rest is the comparison's to lay out.
_SHARED = (
    *("data.source", "data.columns", "data.classes", "data.on_error", "data.skip_limit", "data.text.tokenizer"),
    *("data.train", "data.test", "data.test_fraction", "data.split_seed", "data.split_from", "data.min_per_class"),
    *("evaluate.test", "evaluate.shifts", "task", "model", "dtype"),
)
_LAID_OUT = ("strategy", "init", "seed", "label_budget", *configuration.ARRANGEMENT)
# What an arm may have for itself though it is of the arrangement, or of the model: a head has no twin to share it with.
_OWN = ("label_budgets", "tuning.space", "model.settings.head_layers")

Values = Mapping[str, Any]


def _is_of(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def refuse(overrides: Mapping[str, Any], refused: tuple[str, ...], where: str, why: str) -> None:
    """Raises InputError for the first key of overrides that is one of those refused, or below one.

    Args:
      overrides: nested.
      refused: keys or groups of keys.
      where: the name of the overrides.
      why: what is wrong with such a key there.
    """
    for key in configuration.flatten(overrides):
        if _is_of(key, refused):
            raise InputError(f"{key!r} {why}", where=f"{where}.{key}", do="leave it out")


def declared_of(config: ConfigDict, arm: Arm) -> dict[str, Any]:
    """Returns what is declared for an arm, by dotted key, checked.

    Raises:
      InputError: for what all arms share, or what the comparison lays out.
    """
    declared, where = configuration.flatten(config.declared.get(arm.name, {})), f"config.declared.{arm.name}"
    of_all = {key: value for key, value in declared.items() if not _is_of(key, _OWN)}
    refuse(of_all, _SHARED, where, "is shared by all arms of a comparison")
    refuse(of_all, _LAID_OUT, where, "is laid out by the comparison")
    return declared


def arm_comparison(config: ConfigDict, arm: Arm) -> ConfigDict:
    """Returns the config of the comparison as an arm has it: with what is declared for the arm."""
    return configuration.merge(config, declared_of(config, arm), where=f"config.declared.{arm.name}")


def arm_config(
    config: ConfigDict, arm: Arm, source_hash: str, changes: Values | None = None, *, is_trial: bool = False
) -> dict[str, Any]:
    """Returns the resolved config of the runs of an arm, without budget and seed.

    Args:
      config: of the comparison.
      arm: the arm.
      source_hash: of the model source, which the config names by a path.
      changes: by dotted key, over all else: what a search chose, or the steps of another parity.
      is_trial: of a search, which keeps no best checkpoint: it opens no test.

    Raises:
      InputError: for a declared difference that may not be.
    """
    merged = configuration.merge(arm_comparison(config, arm), changes or {})
    if "best" in config.parities and not is_trial:
        best = {"evaluate.best": True, "checkpoint.best": max(merged.checkpoint.best, 1)}
        merged = configuration.merge(merged, best)
    resolved = configuration.run_config(merged, strategy=arm.strategy, init=arm.init)
    # The hash keeps runs on one source apart from runs on the next at the same path.
    resolved = {**resolved, "model": {**resolved["model"], "source_hash": source_hash}}
    # Rules are for the arms whose strategy they are.
    return resolve_run(resolved if arm.strategy.partition("+")[0] == "rules" else {**resolved, "rules": []})


def source_config(config: ConfigDict) -> dict[str, Any] | None:
    """Returns the resolved config of the run that makes the model source, or None where there is none.

    Raises:
      InputError: for overrides that mean nothing to it.
    """
    if not config.pretrain:
        return None
    taken = ("strategy", "init", "model.source", *configuration.ARRANGEMENT)
    refuse(config.pretrain, taken, "config.pretrain", "means nothing to the source, which is trained from scratch")
    merged = configuration.merge(config, config.pretrain, where="config.pretrain")
    values = configuration.run_config(merged, strategy="scratch", init="scratch")
    # Rules and settings of groups are for the arms, and so is another test than the source's own.
    groups = configuration.to_dict(config.pretrain).get("groups", {})
    evaluate = {**values["evaluate"], "shifts": []}
    model = {**values["model"], "source": ""}
    return resolve_run({**values, "model": model, "rules": [], "groups": groups, "evaluate": evaluate})
