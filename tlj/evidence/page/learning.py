"""What the page says of learning curves: the section's context and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlj.evidence.page.drawing import GRID, INK, MUTED, NARROW, SURFACE, line_styles
from tlj.evidence.runs import Comparison
from tlj.evidence.words.wording import MINUS, listed, of_labels

Summary = Mapping[str, Any]
# Losses beyond it are cut off, for what matters lies below: so many times the largest loss of the last steps.
_CUT = 4.0
_MOST_SAID = 4


def learning_context(comparison: Comparison, summary: Summary) -> Mapping[str, Any]:
    """Returns what the section on learning curves shows.

    Args:
      comparison: the runs.
      summary: its ``summary.json``.

    Returns:
      ``learning``, None where no run has a curve.
    """
    found = summary.get("learning")
    if not found:
        return {"learning": None}
    cells, shown = found["cells"], _largest(found["cells"])
    return {
        "learning": {
            "flags": _flags([cell for cell in cells if cell["rises"]]),
            "verdict": _verdict(cells),
            "rule": f"{found['standard_errors']:g} standard errors over seeds and {100 * found['least_rise']:g} %",
            "rows": [_row(cell) for cell in cells],
            "scaled": all(cell["gap"] is None for cell in cells),
            "alt": "Charts of training and validation loss over steps. "
            + "; ".join(f"{cell['arm']}: {_ends(cell)}" for cell in shown)
            + ".",
        }
    }


def learning_curves(summary: Summary, width: float) -> Figure | None:
    """Draws the mean training and validation loss of each arm over steps, at its largest label budget.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where no run has a curve.
    """
    cells = _largest((summary.get("learning") or {"cells": []})["cells"])
    # Seeds whose losses were finite at no common step have no curve to draw.
    cells = [cell for cell in cells if cell["train"]["loss"] or cell["validation"]["loss"]]
    if not cells:
        return None
    columns = min(len(cells), 4 if width > NARROW else 2)
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(width, 0.7 + 1.75 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    looks = line_styles(summary["arms"])
    for axes, cell in zip(panels, cells, strict=False):
        _panel(axes, cell, looks[cell["arm"]]["color"])
    for axes in panels[len(cells) :]:
        axes.remove()
    ends = [loss for cell in cells for kind in ("train", "validation") for loss in cell[kind]["loss"][-1:]]
    highest = max(loss for cell in cells for kind in ("train", "validation") for loss in cell[kind]["loss"])
    panels[0].set_ylim(0 if min(ends) >= 0 else None, min(1.05 * highest, _CUT * max(ends)) or None)
    panels[0].plot([], [], color=MUTED, linewidth=1.1, linestyle=(0, (2, 1.5)), label="training")
    panels[0].plot([], [], color=INK, linewidth=1.6, label="validation")
    panels[0].plot([], [], color=INK, marker="o", markerfacecolor=SURFACE, linestyle="none", label="its lowest")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.4)
    figure.supylabel("Loss", fontsize=8.5)
    figure.supxlabel("Steps", fontsize=8.5)
    return figure


def _panel(axes: Axes, cell: Mapping[str, Any], colour: str) -> None:
    train, validation = cell["train"], cell["validation"]
    axes.plot(train["steps"], train["loss"], color=MUTED, linewidth=1.1, linestyle=(0, (2, 1.5)))
    one = {"marker": "o", "markersize": 3.5} if len(validation["steps"]) == 1 else {}
    axes.plot(validation["steps"], validation["loss"], color=colour, linewidth=1.6, **one)
    if cell["lowest"]:
        at = cell["lowest"]["step"], cell["lowest"]["loss"]
        axes.plot(*zip(at, strict=True), color=colour, marker="o", markersize=5, markerfacecolor=SURFACE)
    axes.set_title(f"{cell['arm']}\n{of_labels(cell['budget'])}{', rises' if cell['rises'] else ''}", fontsize=8.5)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=4)


def _largest(cells: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The cell of each arm at its largest label budget."""
    return list({cell["arm"]: cell for cell in sorted(cells, key=lambda cell: cell["budget"])}.values())


def _ends(cell: Mapping[str, Any]) -> str:
    losses = cell["validation"]["loss"]
    if not losses:
        return "no validation during training"
    return f"validation loss {losses[0]:.3g} at first, {losses[-1]:.3g} at the end"


def _flags(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each arm with a validation loss that rises."""
    parts: dict[str, list[str]] = {}
    for cell in cells:
        lowest, rise = cell["lowest"], cell["rise"]
        by = (
            f"{100 * rise['mean'] / abs(lowest['loss']):,.0f}\N{NO-BREAK SPACE}%"
            if lowest["loss"]
            else f"{rise['mean']:.3g}"
        )
        said = f"at {of_labels(cell['budget'])} by {by} from step {lowest['step']:,} on"
        parts.setdefault(cell["arm"], []).append(said)
    shortened = {
        arm: [*said[:_MOST_SAID], f"at {len(said) - _MOST_SAID} more"] if len(said) > _MOST_SAID else said
        for arm, said in parts.items()
    }
    return [f"{arm}: {listed(said)}." for arm, said in shortened.items()]


def _verdict(cells: Sequence[Mapping[str, Any]]) -> str:
    told = [cell for cell in cells if cell["rises"] is not None]
    if not told:
        return "Whether a validation loss rises cannot be told: that takes several validations and at least two seeds."
    risen = sum(cell["rises"] for cell in told)
    if not risen:
        return f"In none of {len(told)} pairs of arm and label budget does the validation loss rise towards the end."
    return f"The validation loss rises towards the end in {risen} of {len(told)} pairs of arm and label budget:"


def _row(cell: Mapping[str, Any]) -> dict[str, Any]:
    gap, rise, lowest = cell["gap"], cell["rise"], cell["lowest"]
    error = rise and rise["standard_error"]
    return {
        "arm": cell["arm"],
        "budget": cell["budget"],
        "train": _number(gap and gap["train"]),
        "test": _number(gap and gap["test"]),
        "gap": _number(gap and gap["mean"]),
        "interval": f"[{', '.join(map(_number, gap['interval']))}]" if gap and gap["interval"] else "",
        "at": gap["at"] if gap else "–",
        "lowest": _number(lowest and lowest["loss"]),
        "lowest_step": f"step {lowest['step']:,}" if lowest else "",
        "rise": _number(rise and rise["mean"]),
        "error": "" if error is None else f"± {_number(error)}",
        "word": {True: "rises", False: "does not rise", None: "cannot be told"}[cell["rises"]],
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", MINUS)
