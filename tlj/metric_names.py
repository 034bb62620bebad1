"""Names of the metrics of every task, and which way is better; for whatever reads a metric without computing one."""

from __future__ import annotations

from collections.abc import Iterable

from tlj.errors import unknown_name

# The first is what a run is told by, after the loss, which every task has.
_METRICS = {
    "multiclass": ("accuracy",),
    "binary": ("accuracy", "auroc"),
    "multilabel": ("mean_average_precision", "macro_f1", "micro_f1", "subset_accuracy"),
    "regression": ("rmse", "mae", "r2", "pearson", "spearman"),
}
# What a comparison may be judged by besides, from the predictions of its runs.
_OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "nll", "brier")
_JUDGED = {"multiclass": _OF_CLASSES, "binary": _OF_CLASSES} | {
    task: (*_METRICS[task], "loss") for task in ("multilabel", "regression")
}
_LOWER = ("loss", "rmse", "mae", "nll", "brier", "ece")
_PARTS = ("train", "validation", "test")


def metric_names(task: str, part: str = "validation") -> tuple[str, ...]:
    """Returns the names of the metrics of a part of the data, the loss first, such as ``validation_loss``.

    Args:
      task: ``config.task``.
      part: ``"validation"`` or ``"test"``; empty gives the names alone.
    """
    return tuple(f"{part}_{name}" if part else name for name in ("loss", *_METRICS[task]))


def main_metric(task: str, part: str = "validation") -> str:
    """Returns the metric that a run is told by: accuracy, mean average precision, or the root of the squared error."""
    return metric_names(task, part)[1]


def lower_is_better(name: str) -> bool:
    """Returns whether a metric is an error, with or without the part it is of: ``loss``, ``validation_rmse``."""
    part, _, rest = name.partition("_")
    return (rest if part in _PARTS else name) in _LOWER


def check_metric(name: str, task: str, where: str, besides: Iterable[str] = ()) -> None:
    """Raises InputError where a task has no validation metric of a name.

    Args:
      name: such as ``"validation_loss"``.
      task: ``config.task``.
      where: the key that holds the name.
      besides: names that may stand there too.
    """
    known = (*metric_names(task), *besides)
    if name not in known:
        raise unknown_name("metric", name, known, where=where)


def judged_names(task: str = "") -> tuple[str, ...]:
    """Returns the metrics that a comparison may be judged by, the task's own first; of every task where none is given.

    Args:
      task: ``config.task``.
    """
    tasks = [task] if task else list(_JUDGED)
    return tuple(dict.fromkeys(name for each in tasks for name in _JUDGED[each]))


def judged_metric(name: str, task: str, where: str = "config.metric") -> str:
    """Returns the metric that a comparison is judged by: the one that is named, or the task's own.

    Args:
      name: ``config.metric``, which may be empty.
      task: ``config.task``.
      where: the key that holds the name.

    Raises:
      InputError: the task has no such metric.
    """
    if name and name not in judged_names(task):
        raise unknown_name("metric", name, judged_names(task), where=where)
    return name or judged_names(task)[0]
