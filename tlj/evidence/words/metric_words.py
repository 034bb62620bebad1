"""How a metric, its values and differences in it are said: shares in percent and points, all else in its own unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tlj.evidence.judging.statistics import Estimate
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words import wording

ACCURACY = Metric("accuracy")
_NAMES = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "brier": "Brier score",
    "ece": "calibration error",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "micro_f1": "micro F1",
    "nll": "NLL",
    "pearson": "Pearson correlation",
    "r2": "R²",
    "rmse": "RMSE",
    "spearman": "Spearman correlation",
}


def named(metric: Metric) -> str:
    """Returns a metric as it is said in a sentence, ``accuracy``, ``macro F1``, ``NLL``."""
    return _NAMES.get(metric.name, metric.name.replace("_", " "))


def unit(metric: Metric) -> str:
    """Returns what follows a difference, ``points``, ``points of macro F1``, ``nats``, ``of RMSE``."""
    if metric.is_share:
        return "points" if metric == ACCURACY else f"points of {named(metric)}"
    return "nats" if metric.name == "nll" else f"of {named(metric)}"


def value(number: float, metric: Metric) -> str:
    """Returns a value of a metric, ``93.4`` of a share (in percent), ``0.234`` of another."""
    return f"{100 * number:.1f}" if metric.is_share else _plain(number)


def values(interval: Sequence[float] | None, metric: Metric) -> str:
    """Returns an interval of values, ``[91.2, 95.6]``, or nothing where there is none."""
    return "" if interval is None else f"[{value(interval[0], metric)}, {value(interval[1], metric)}]"


def difference(number: float, metric: Metric, signed: bool = True) -> str:
    """Returns a difference that is positive where more is better, ``+12.3`` in points, ``+0.0123`` of another."""
    return wording.points(number, signed) if metric.is_share else _plain(number, signed)


def differences(interval: Sequence[float] | None, metric: Metric) -> str:
    """Returns an interval of differences, ``[−0.3, 3.4]``, or nothing where there is none."""
    return "" if interval is None else f"[{', '.join(difference(end, metric, signed=False) for end in interval)}]"


def quoted(estimate: Estimate, metric: Metric = ACCURACY) -> str:
    """Returns a difference with its interval, ``+12.3 points [10.1, 14.5]``, ``+0.12 nats [0.08, 0.16]``."""
    said = f"{difference(estimate.mean, metric)} {unit(metric)} {differences(estimate.interval, metric)}"
    return said.rstrip()


def margin(number: float, metric: Metric) -> str:
    """Returns a margin without trailing zeros, ``0.5 points``, ``1 point``, ``0.02 nats``."""
    if not metric.is_share:
        return f"{number:.6g} {unit(metric)}"
    said = f"{100 * number:.6g}"
    return f"{said} {unit(metric).replace('points', 'point', 1) if said == '1' else unit(metric)}"


def _plain(number: float, signed: bool = False) -> str:
    text = f"{number:{'+' if signed else ''}.3g}"
    return "0" if text in ("+0", "-0", "0") else text.replace("-", wording.MINUS)


def filters(metric: Metric) -> dict[str, Callable]:
    """Returns the filters of the page that say values of a metric, differences in it, and its margin.

    Args:
      metric: what the comparison is judged by.
    """
    return {
        "judged": partial(value, metric=metric),
        "judged_interval": partial(values, metric=metric),
        "difference": partial(difference, metric=metric),
        "difference_interval": partial(differences, metric=metric),
        "margin": partial(margin, metric=metric),
    }
