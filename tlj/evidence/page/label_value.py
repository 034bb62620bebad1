"""What stands over all label budgets together: areas, crossovers, labels to a target and the law, for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from tlj.evidence.page.drawing import INK, MUTED, NARROW, SURFACE, label_axis, line_styles
from tlj.evidence.runs import Comparison
from tlj.evidence.words.formatting import NOTHING, lost_to_holm
from tlj.evidence.words.wording import MINUS, count, listed, of_labels

Summary = Mapping[str, Any]
MEASURES = {"nll": "test loss", "error": "test error", "nll_scaled": "test loss, scaled", "loss": "test loss"}
DROPPED = {
    "censored": "outside the curve",
    "no_labels_saved": "without labels saved",
    "not_little_data": "with too much data",
}


def label_value(comparison: Comparison, summary: Summary) -> Mapping[str, Any]:
    """Returns what the section on labels shows besides the summary.

    Args:
      comparison: the runs.
      summary: its ``summary.json``.

    Returns:
      ``areas`` (a row per arm, with its crossover in words), ``targets`` (rows of a grid over the twin's budgets),
      ``target_measure``, ``laws`` and ``crossover_alt``.
    """
    budgets = summary["budgets"]
    crossings = {row["arm"]: crossover_words(row, budgets) for row in summary.get("crossover") or ()}
    targets = summary.get("labels_to_target") or ()
    return {
        "areas": [row | {"crossover": crossings.get(row["arm"], NOTHING)} for row in summary.get("aulc") or ()],
        "targets": [
            {"arm": arm, "columns": [_find(targets, arm, budget) for budget in budgets]}
            for arm in dict.fromkeys(row["arm"] for row in targets)
        ],
        "target_measure": MEASURES[targets[0]["measure"]] if targets else "",
        "laws": [_law_words(row) for row in summary.get("law") or ()],
        "crossover_alt": f"Chart of the labels at which arms and {summary['twin']} change places. "
        + "; ".join(f"{arm}: {words}" for arm, words in crossings.items())
        + ".",
    }


def verdict_marks(comparison: Comparison, summary: Summary) -> Mapping[str, Any]:
    """Returns which of its marks the table of verdicts has to explain: ``any_lost`` to Holm, ``any_seeds``."""
    rows = summary["verdicts"]
    return {"any_lost": any(map(lost_to_holm, rows)), "any_seeds": any(row.get("more_seeds") for row in rows)}


def _find(rows: Sequence[Mapping], arm: str, budget: int) -> Mapping | None:
    return next((row for row in rows if (row["arm"], row["twin_labels"]) == (arm, budget)), None)


def crossover_words(row: Mapping, budgets: Sequence[int]) -> str:
    """Says where an arm and the twin change places, or that they do not.

    Args:
      row: of ``summary["crossover"]``.
      budgets: all label budgets, smallest first.

    Returns:
      For example ``at about 34 labels [27, 38], helps below, hurts above``.
    """
    if row["labels"] is not None:
        return f"at about {count(row['labels'])} labels {_ends(row)}".rstrip() + f", {row['direction']}"
    side = {"positive": "better", "negative": "worse", None: "equal"}[row["sign"]]
    words = f"none from {budgets[0]:,} to {of_labels(budgets[-1])}, {side} on average"
    if row["interval"] is None:
        return words
    return f"{words}; one is {_not_excluded(row)}"


def _ends(row: Mapping) -> str:
    if row["interval"] is None:
        return ""
    low, high = row["interval"]
    signs = ["≤ " if row["interval_open"][0] else "", "≥ " if row["interval_open"][1] else ""]
    return f"[{signs[0]}{count(low)}, {signs[1]}{count(high)}]"


def _not_excluded(row: Mapping) -> str:
    low, high = (count(end) for end in row["interval"])
    opens = tuple(row["interval_open"])
    if opens == (True, True):
        return "excluded nowhere"
    place = {(True, False): f"up to {high}", (False, True): f"from {low} up"}.get(opens, f"from {low} to {high}")
    return f"not excluded {place}"


def _law_words(row: Mapping) -> dict[str, str]:
    dropped = listed(f"{number} {DROPPED[reason]}" for reason, number in row["dropped"].items() if number)
    return {
        "arm": row["arm"],
        "measure": MEASURES[row["measure"]],
        "alpha": NOTHING if row["alpha"] is None else _two_places(row["alpha"]),
        "alpha_interval": "" if row["alpha_interval"] is None else _bracketed(row["alpha_interval"], _two_places),
        "k": NOTHING if row["k"] is None else _factor(row["k"]),
        "k_interval": "" if row["k_interval"] is None else _bracketed(row["k_interval"], _factor),
        "points": str(len(row["points"])),
        "dropped": dropped or "none",
    }


def _bracketed(interval: Sequence[float], words: Callable[[float], str]) -> str:
    return f"[{', '.join(map(words, interval))}]"


def _two_places(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _factor(value: float) -> str:
    return count(value) if 1e-3 <= value < 1e7 else f"{value:.0e}".replace("-", MINUS)


def draw_crossover(summary: Summary, width: float) -> Figure | None:
    """Draws, per arm, where along the label budgets its difference to the twin changes its sign.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where no arm was compared at two budgets.
    """
    rows = list(summary.get("crossover") or ())
    if not rows:
        return None
    wide, budgets = width > NARROW, summary["budgets"]
    figure = Figure(figsize=(width, 0.75 + (0.34 if wide else 0.5) * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    label_axis(axes, budgets, most=8 if wide else 4)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0.9 * budgets[0], 1.1 * budgets[-1])
    axes.set_yticks(range(len(rows)) if wide else [], [row["arm"] for row in rows] if wide else [])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Labels (log scale)")
    looks = line_styles(summary["arms"])
    for place, row in enumerate(rows):
        look = looks[row["arm"]]
        if not wide:
            axes.text(budgets[0], place - 0.24, row["arm"], fontsize=8, va="center")
        axes.plot([budgets[0], budgets[-1]], [place, place], color=MUTED, linewidth=0.7, linestyle=(0, (1, 3)))
        if row["interval"]:
            faint = row["labels"] is None
            axes.plot(row["interval"], [place, place], color=look["color"], linewidth=1.4 if faint else 2.6,
                      alpha=0.6 if faint else 1.0, solid_capstyle="butt")  # fmt: skip
        if row["labels"] is not None:
            axes.plot([row["labels"]], [place], color=look["color"], marker=look["marker"], markersize=7,
                      markeredgecolor=SURFACE)  # fmt: skip
        else:
            side = {"positive": "better", "negative": "worse", None: "equal"}[row["sign"]]
            x, alignment = (budgets[0], "left") if wide else (budgets[-1], "right")
            axes.text(x, place - 0.22, f"none, {side} on average", fontsize=7.5, color=INK, ha=alignment, va="center")
    return figure
