"""How the advice says values of the judged metric, differences in it, and widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.judging.statistics import Estimate
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words import metric_words


def shown(metric: Metric, mean: float, interval: Sequence[float] | None = None) -> str:
    """Returns a value with its interval, ``89.1 % [87.0, 91.2]``, ``0.314 [0.290, 0.338]``."""
    sign = " %" if metric.is_share else ""
    return f"{metric_words.value(mean, metric)}{sign} {metric_words.values(interval, metric)}".rstrip()


def gain(metric: Metric, verdict: Mapping[str, Any]) -> str:
    """Returns the difference of a row of the summary's ``verdicts`` with its interval."""
    return metric_words.quoted(Estimate(verdict["difference"], *(verdict["interval"] or (None, None))), metric)


def width(metric: Metric, amount: float) -> str:
    """Returns a margin or a half-width to two digits, ``9.3 points``."""
    return metric_words.margin(float(f"{amount:.2g}"), metric)


def width_below(metric: Metric, amount: float) -> str:
    """Returns the same rounded down, so that what is said of a margin up to an amount is true of it."""
    shift = 10.0 ** (1 - math.floor(math.log10(amount)))
    return metric_words.margin(math.floor(amount * shift) / shift, metric)
