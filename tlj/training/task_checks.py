"""What a task cannot do: said before work begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlj.data.images import Augmentation
from tlj.data.label_kinds import are_numbers, are_sets
from tlj.data.sources import Source
from tlj.errors import InputError


def check_task(config: Mapping[str, Any], source: Source, augmentation: Augmentation) -> None:
    """Checks that the data has labels for the task of a config, and that the config asks nothing else of them.

    Args:
      config: resolved, nested.
      source: the data.
      augmentation: of training images.

    Raises:
      InputError: where it does not.
    """
    task, data = config["task"], config["data"]
    kind = "regression" if are_numbers(source.labels) else "multilabel" if are_sets(source.labels) else "multiclass"
    if kind != ("multiclass" if task == "binary" else task):
        what = f"{source.name} has labels for {kind}, not for {task}"
        raise InputError(what, where="config.task", do=f"set it to {kind}, or use other data")
    if task == "binary" and len(source.classes) != 2:
        raise InputError(
            f"{source.name} has {len(source.classes)} classes, and binary takes two",
            where="config.task",
            do="use multiclass, or data with two",
        )
    if task in ("multilabel", "regression") and data["balance"] != "none":
        what = f"{task} has no single class an example that could be balanced"
        raise InputError(what, where="config.data.balance", do="set it to none")
    if task == "regression":
        _check_numbers(config, augmentation)


def _check_numbers(config: Mapping[str, Any], augmentation: Augmentation) -> None:
    """Checks that nothing is asked of numbers that is for classes."""
    asked = {
        "data.classes": bool(config["data"]["classes"]),
        "data.min_per_class": config["data"]["min_per_class"] > 1,
        "data.augment.mixup": bool(augmentation.mixup),
        "data.augment.cutmix": bool(augmentation.cutmix),
        "optimizer.label_smoothing": bool(config["optimizer"]["label_smoothing"]),
    }
    for key in (key for key, is_asked in asked.items() if is_asked):
        raise InputError("is for classes, and regression has none", where=f"config.{key}", do="leave it out")
