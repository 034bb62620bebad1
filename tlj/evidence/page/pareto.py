"""The figure of quality against cost: accelerator-seconds at some label budgets, and dollars over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tlj.evidence.page.drawing import GRID, MUTED, NARROW, SURFACE, line_styles
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words import metric_words
from tlj.evidence.words.money import dollars

Summary = Mapping[str, Any]
Row = Mapping[str, Any]
MOST_BUDGETS = 3


def draw_pareto(summary: Summary, width: float) -> Figure | None:
    """Draws quality over accelerator-seconds of a run at up to three label budgets, and over dollars where priced.

    Filled markers lie on the front of their panel, hollow ones do not.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there is nothing to draw.
    """
    rows = [r for r in summary["cost"]["pareto"] if r["mean"] is not None]
    timed = [r for r in rows if r["accelerator_seconds_per_run"]]
    if len({row["arm"] for row in timed}) < 2:
        return None
    budgets = sorted({row["budget"] for row in timed})
    shown = [budgets[i] for i in np.linspace(0, len(budgets) - 1, min(MOST_BUDGETS, len(budgets))).round().astype(int)]
    paid = [row for row in rows if row["dollars"]]
    panels = [(f"{b:,} label{'' if b == 1 else 's'}", [r for r in timed if r["budget"] == b]) for b in shown]
    wide = width > NARROW
    shape = (1 + bool(paid), len(panels)) if wide else (len(panels) + bool(paid), 1)
    figure = Figure(figsize=(width, 0.7 + 2.5 * shape[0]), layout="constrained")
    grid = figure.add_gridspec(*shape)
    looks, metric = line_styles(summary["arms"]), Metric(summary["metric"])
    first = None
    for i, (title, here) in enumerate(panels):
        first = axes = figure.add_subplot(grid[0, i] if wide else grid[i, 0], sharex=first, sharey=first)
        _points(axes, here, "accelerator_seconds_per_run", "on_front", looks, metric)
        axes.set_title(title)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel("Accelerator-seconds a run" if not wide or i == len(panels) // 2 else "")
        axes.tick_params(labelleft=not wide or i == 0)
    if paid:
        axes = figure.add_subplot(grid[-1, :])
        _points(axes, paid, "dollars", "on_front_of_dollars", looks, metric)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if wide else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda amount, place: dollars(float(f"{amount:.1g}"))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title("All numbers of labels, by dollars")
        axes.set_xlabel("Dollars for labels and training (log scale)")
    share = ", %" if metric.is_share else ""
    figure.supylabel(f"Test {metric_words.named(metric)}{share}", fontsize=8.5)
    arms = [arm["arm"] for arm in summary["arms"] if any(row["arm"] == arm["arm"] for row in timed)]
    handles = [axes.plot([], [], **looks[arm], linewidth=1.2, markersize=5)[0] for arm in arms]
    columns = min(len(arms), 5 if wide else 2)
    figure.legend(handles, arms, loc="outside upper left", ncols=columns, columnspacing=1.4)
    return figure


def _points(axes: Axes, rows: Sequence[Row], cost: str, front: str, looks: Mapping, metric: Metric) -> None:
    scale = 100.0 if metric.is_share else 1.0
    for row in rows:
        look, x, y = looks[row["arm"]], row[cost], scale * row["mean"]
        if row["interval"]:
            axes.plot([x, x], [scale * end for end in row["interval"]], color=look["color"], linewidth=1.0, alpha=0.6)
        face = look["color"] if row[front] else SURFACE
        axes.plot([x], [y], color=look["color"], marker=look["marker"], markerfacecolor=face, markersize=5)
    edge = sorted((row[cost], scale * row["mean"]) for row in rows if row[front])
    axes.plot(*zip(*edge, strict=True), color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.15)
