"""The section on tuning: what was searched and chosen, what failed, and what n trials give each arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tlj.evidence.page.drawing import GRID, NARROW, line_styles
from tlj.evidence.runs import Comparison

Summary = Mapping[str, Any]
# As many panels as are still read; of more budgets, the smallest, the largest and those between them.
MOST_PANELS = 4


def tuning_context(comparison: Comparison, summary: Summary) -> Mapping[str, Any]:
    """Returns the values that lie at an edge, and the figure in words.

    Args:
      comparison: not needed.
      summary: ``summary.json``.
    """
    cells = (summary["tuning"] or {}).get("cells") or ()
    edges = [
        {"arm": cell["arm"], "budget": cell["budget"], "key": key, "side": side}
        for cell in cells
        for key, side in cell["edges"].items()
    ]
    said = (
        f"{cell['arm']} at {cell['budget']:,} labels: {cell['expected_best'][0]:.3g} with 1 trial, "
        f"{cell['expected_best'][-1]:.3g} with {len(cell['expected_best'])}"
        for cell in cells
        if cell["expected_best"]
    )
    return {"edges": edges, "alternative": f"Expected best of n trials. {'; '.join(said)}."}


def expected_best(summary: Summary, width: float) -> Figure | None:
    """Draws the expected best of n trials, a line per arm, a panel per label budget.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where nothing was tuned.
    """
    cells = [cell for cell in (summary["tuning"] or {}).get("cells") or () if len(cell["expected_best"]) > 1]
    if not cells:
        return None
    budgets = sorted({cell["budget"] for cell in cells})
    if len(budgets) > MOST_PANELS:
        budgets = [budgets[round(i * (len(budgets) - 1) / (MOST_PANELS - 1))] for i in range(MOST_PANELS)]
    columns = min(len(budgets), 2)
    rows = math.ceil(len(budgets) / columns)
    figure = Figure(figsize=(width, 2.4 * rows + 0.7), layout="constrained")
    looks = line_styles(summary["arms"])
    for place, budget in enumerate(budgets):
        axes = figure.add_subplot(rows, columns, place + 1)
        for cell in cells:
            if cell["budget"] == budget:
                values = cell["expected_best"]
                axes.plot(range(1, len(values) + 1), values, **looks[cell["arm"]], markersize=4, linewidth=1.4)
        axes.set_title(f"{budget:,} labels")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        if place // columns == rows - 1:
            axes.set_xlabel("Trials")
        if place % columns == 0:
            axes.set_ylabel(summary["tuning"]["metric"])
    names = list(dict.fromkeys(cell["arm"] for cell in cells))
    lines = [axes.plot([], [], **looks[name], markersize=4, linewidth=1.4, label=name)[0] for name in names]
    columns = min(len(names), 5 if width > NARROW else 2)
    figure.legend(handles=lines, loc="outside upper left", ncols=columns, handlelength=2.2, columnspacing=1.4)
    return figure
