"""The three figures of a comparison: label efficiency, differences to the twin, effective data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlj.evidence.page.drawing import (
    BAND,
    INK,
    MUTED,
    NARROW,
    SURFACE,
    dodge,
    label_axis,
    line_styles,
)
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words.metric_words import named
from tlj.evidence.words.wording import sentence

Summary = Mapping[str, Any]
MEASURE_TITLES = {
    "nll": "By test loss",
    "error": "By test error",
    "nll_scaled": "By loss after scaling",
    "loss": "By test loss",
}
DECIDED = ("helps", "helps-small", "hurts", "equivalent")


def label_efficiency(summary: Summary, width: float) -> Figure | None:
    """Draws the judged metric over labels, one line per arm with t intervals.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there is nothing to draw.
    """
    if not summary["cells"]:
        return None
    metric, scale = _metric(summary)
    figure = Figure(figsize=(width, 4.1 if width > NARROW else 4.3), layout="constrained")
    axes = figure.add_subplot()
    label_axis(axes, summary["budgets"])
    looks = line_styles(summary["arms"])
    names = [arm["arm"] for arm in summary["arms"]]
    for place, name in enumerate(names):
        cells = [cell for cell in summary["cells"] if cell["arm"] == name]
        if cells:
            x = dodge(summary["budgets"], place, len(names))[[summary["budgets"].index(c["budget"]) for c in cells]]
            means = scale * np.array([cell["mean"] for cell in cells])
            _interval_line(axes, x, means, [cell["interval"] for cell in cells], looks[name], name, scale)
    axes.set_title(f"Test {named(metric)}{', %' if metric.is_share else ''}")
    axes.set_xlabel("Labels (log scale)")
    columns = min(len(names), 5 if width > NARROW else 2)
    figure.legend(loc="outside upper left", ncols=columns, handlelength=2.2, columnspacing=1.4)
    return figure


def paired_difference(summary: Summary, width: float) -> Figure | None:
    """Draws each arm's paired difference to the twin over labels, with the margin as a band.

    Filled markers are decided verdicts, hollow ones undecided.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there is nothing to draw.
    """
    if not summary["verdicts"]:
        return None
    looks = line_styles(summary["arms"])
    names = [arm["arm"] for arm in summary["arms"] if arm["arm"] != summary["twin"]]
    columns = min(len(names), 4 if width > NARROW else 2)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(width, 0.4 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    metric, scale = _metric(summary)
    margin = scale * summary["margin"]
    for axes, name in zip(grid, names, strict=False):
        label_axis(axes, summary["budgets"], most=3 if columns > 1 else 8)
        axes.axhspan(-margin, margin, color=BAND, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_title(name)
        rows_of_arm = [row for row in summary["verdicts"] if row["arm"] == name]
        for row in rows_of_arm:
            hollow = row["verdict"] not in DECIDED
            look = looks[name] | {"linestyle": "none", "markerfacecolor": SURFACE if hollow else looks[name]["color"]}
            mean = np.array([scale * row["difference"]])
            _interval_line(axes, [row["budget"]], mean, [row["interval"]], look, None, scale)
    for axes in list(grid)[len(names) :]:
        axes.remove()
    ahead = "Points" if metric.is_share else sentence(named(metric))
    figure.supylabel(f"{ahead} {'below' if metric.lower_is_better else 'above'} {summary['twin']}", fontsize=8.5)
    figure.supxlabel("Labels (log scale)", fontsize=8.5)
    return figure


def effective_data(summary: Summary, width: float) -> Figure | None:
    """Draws how many labels the twin needs to reach each arm, over that arm's labels.

    Censored estimates are triangles at the edge of what the twin measured, pointing to where the truth lies.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there is nothing to draw.
    """
    if not summary["effective_data"]:
        return None
    wide = width > NARROW
    measures = list(dict.fromkeys(row["measure"] for row in summary["effective_data"]))
    shape = (1, len(measures)) if wide else (len(measures), 1)
    figure = Figure(figsize=(width, 3.6 if wide else 0.8 + 3.1 * len(measures)), layout="constrained")
    looks = line_styles(summary["arms"])
    names = [arm["arm"] for arm in summary["arms"] if arm["arm"] != summary["twin"]]
    budgets = summary["budgets"]
    for axes, measure in zip(figure.subplots(*shape, sharey=True, squeeze=False).flat, measures, strict=True):
        label_axis(axes, budgets, most=4 if wide and len(measures) > 2 else 6)
        axes.set_ylim(0.8 * budgets[0], 1.25 * budgets[-1])
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(axes.xaxis.get_major_locator())
        axes.yaxis.set_major_formatter(axes.xaxis.get_major_formatter())
        axes.minorticks_off()
        axes.plot(budgets, budgets, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.set_title(MEASURE_TITLES[measure])
        for place, name in enumerate(names):
            rows = [r for r in summary["effective_data"] if r["arm"] == name and r["measure"] == measure]
            _effective_line(axes, rows, dodge(budgets, place, len(names)), budgets, looks[name], name)
    figure.supxlabel("Labels of the arm (log scale)", fontsize=8.5)
    figure.supylabel("Labels the twin needs (log scale)", fontsize=8.5)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(len(names), 5 if wide else 2), columnspacing=1.4)
    return figure


def _effective_line(
    axes: Axes, rows: Sequence[Mapping], places: np.ndarray, budgets: Sequence[int], look: Mapping, name: str
) -> None:
    x = [places[budgets.index(row["budget"])] for row in rows]
    y = [row["effective_labels"] for row in rows]
    axes.plot(x, y, color=look["color"], linestyle=look["linestyle"], linewidth=1.1, alpha=0.55)
    axes.plot([], [], **look, linewidth=1.3, markersize=5, label=name)
    for at, row in zip(x, rows, strict=True):
        if row["interval"]:
            axes.plot([at, at], row["interval"], color=look["color"], linewidth=1.1)
        marker = {"above": "^", "below": "v", None: look["marker"]}[row["censored"]]
        face = SURFACE if row["censored"] else look["color"]
        axes.plot(
            [at], [row["effective_labels"]], color=look["color"], marker=marker, markerfacecolor=face, markersize=5
        )


def _metric(summary: Summary) -> tuple[Metric, int]:
    """The metric that is judged, and what its values are drawn times: shares are in percent."""
    metric = Metric(summary["metric"])
    return metric, 100 if metric.is_share else 1


def _interval_line(
    axes: Axes, x: Sequence[float], means: np.ndarray, intervals: Sequence, look: Mapping, name: str | None, scale: int
) -> None:
    ends = scale * np.array([interval or (np.nan, np.nan) for interval in intervals], np.float64)
    spread = np.abs(ends.T - means) if np.isfinite(ends).any() else None
    weight = 1.9 if look["color"] == INK else 1.5
    axes.errorbar(
        x, means, yerr=spread, **look, label=name, linewidth=weight, elinewidth=1.1, markersize=4.6, capsize=0
    )
