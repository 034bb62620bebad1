"""The section on calibration: confidence against accuracy, before and after scaling, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlj.evidence.page.drawing import GRID, MUTED, NARROW, SURFACE, line_styles
from tlj.evidence.runs import Comparison
from tlj.evidence.words.formatting import NOTHING
from tlj.evidence.words.wording import listed

Summary = Mapping[str, Any]
MOST_ARMS = 6
# What is measured, how it is titled, and whether it is a share.
MEASURES = (
    ("ece", "Calibration error in percent, 15 bins of equal width", True),
    ("nll", "Negative log-likelihood", False),
)
MORE = (
    ("ece_equal_mass", "Calibration error in percent, 15 bins of equally many examples", True),
    ("brier", "Brier score", False),
)
# A shade that dark text can be read on, and light text on a dark page.
DARKEST = 38


def context(comparison: Comparison, summary: Summary) -> dict[str, Any]:
    """Returns what the template shows besides the summary.

    Args:
      comparison: the runs.
      summary: its ``summary.json``.

    Returns:
      ``groups`` of rows by measure and ``more`` of them, ``temperatures``, ``matrices`` and ``pairs`` of confusions,
      ``reliability`` with its text alternative ``alt``, and how many arms were ``left_out``.
    """
    rows, budgets = summary["calibration"], summary["budgets"]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    by_place = {(row["arm"], row["budget"]): row for row in rows}
    places = [{"arm": arm, "cells": [by_place.get((arm, budget)) for budget in budgets]} for arm in arms]
    groups, more = (
        [{"title": title, "rows": [_row(place, name, share) for place in places]} for name, title, share in measures]
        for measures in (MEASURES, MORE)
    )
    temperatures = [
        {"arm": place["arm"], "cells": [cell and _mean(cell["temperature"]) for cell in place["cells"]]}
        for place in places
    ]
    shown = _shown(summary)
    confusion = [row for row in summary["confusion"] if row["arm"] in shown]
    return {
        "groups": groups if rows else [],
        "more": more,
        "temperatures": temperatures if any(row["temperature"] for row in rows) else [],
        "matrices": [_matrix(row) for row in confusion if row["classes"] is not None],
        "pairs": [row for row in confusion if row["classes"] is None and row["pairs"]],
        "reliability": [row for row in summary["reliability"] if row["arm"] in shown],
        "alt": _alternative(summary, shown),
        "left_out": max(len({row["arm"] for row in summary["reliability"]}) - len(shown), 0),
    }


def reliability(summary: Summary, width: float) -> Figure | None:
    """Draws accuracy over confidence for each arm at its largest label budget, before and after scaling.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there is nothing to draw.
    """
    shown = _shown(summary)
    rows = [row for row in summary["reliability"] if row["arm"] in shown]
    if not rows:
        return None
    columns = min(len(rows), 3 if width > NARROW else 2)
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(width, 0.6 + (2.5 if width > NARROW else 2.1) * lines), layout="constrained")
    grid = list(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat)
    looks = line_styles(summary["arms"])
    for axes, row in zip(grid, rows, strict=False):
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        colour = looks[row["arm"]]["color"]
        _bins(axes, row["before"], colour, SURFACE, "before scaling")
        if row["after"] is not None:
            _bins(axes, row["after"], colour, colour, "after scaling")
        axes.set_title(row["arm"])
        axes.set(xlim=(0, 102), ylim=(0, 102), xticks=(0, 25, 50, 75, 100), yticks=(0, 25, 50, 75, 100))
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
    for axes in grid[len(rows) :]:
        axes.remove()
    figure.supxlabel("Confidence, %", fontsize=8.5)
    figure.supylabel("Accuracy, %", fontsize=8.5)
    return figure


def _bins(axes: Axes, bins: Mapping[str, Sequence], colour: str, face: str, name: str) -> None:
    held = [place for place, count in enumerate(bins["count"]) if count]
    count = np.array([bins["count"][place] for place in held], np.float64)
    x, y = (100 * np.array([bins[key][place] for place in held]) for key in ("confidence", "accuracy"))
    axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.5)
    # Areas that grow with the share of examples: a bin of three examples says little.
    sizes = 8 + 60 * np.sqrt(count / count.sum())
    axes.scatter(x, y, s=sizes, facecolor=face, edgecolor=colour, linewidth=1.0, zorder=3, label=name)


def _shown(summary: Summary) -> list[str]:
    """The twin and the first of the others that have bins."""
    arms = dict.fromkeys(row["arm"] for row in summary["reliability"])
    ordered = sorted(arms, key=lambda arm: arm != summary["twin"])
    return ordered[:MOST_ARMS]


def _row(place: Mapping[str, Any], name: str, share: bool) -> dict[str, Any]:
    return {"arm": place["arm"], "cells": [cell and _before_and_after(cell[name], share) for cell in place["cells"]]}


def _before_and_after(told: Mapping[str, Any], share: bool) -> dict[str, Any]:
    ends = [told["before"], told["after"]]
    means = [NOTHING if end is None else _number(end["mean"], share) for end in ends]
    intervals = [end["interval"] for end in ends if end is not None and end["interval"]]
    said = [f"[{_number(low, share)}, {_number(high, share)}]" for low, high in intervals]
    return {"means": " → ".join(means), "intervals": said}


def _number(value: float, share: bool) -> str:
    # The interval of a mean near zero may reach below it, which these cannot.
    return f"{100 * max(value, 0.0):.1f}" if share else f"{max(value, 0.0):.3f}"


def _mean(told: Mapping[str, Any] | None) -> str:
    return NOTHING if told is None else f"{told['mean']:.2f}"


def _matrix(row: Mapping[str, Any]) -> dict[str, Any]:
    lines = []
    for name, counts in zip(row["classes"], row["counts"], strict=True):
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        cells = [
            {"count": count, "share": share, "shade": round(DARKEST * share)}
            for count, share in zip(counts, shares, strict=True)
        ]
        lines.append({"label": name, "cells": cells, "total": total})
    return {"arm": row["arm"], "budget": row["budget"], "seeds": row["seeds"], "classes": row["classes"], "rows": lines}


def _alternative(summary: Summary, shown: Sequence[str]) -> str:
    rows = {row["arm"]: row for row in summary["calibration"]}
    said = [
        f"{arm} {_before_and_after(rows[arm]['ece'], True)['means']} %" for arm in shown if arm in rows and rows[arm]
    ]
    return f"Charts of accuracy over confidence. Calibration error before and after scaling: {listed(said)}."
