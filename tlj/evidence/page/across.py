"""Several comparisons on one page: the interquartile mean of each arm across data sets, and its performance profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlj.evidence.judging.across import EVERY
from tlj.evidence.page.drawing import GRID, NARROW, WIDE, inline_svg, line_styles, save_figure, style
from tlj.evidence.page.templating import page_template
from tlj.evidence.words import formatting
from tlj.evidence.words.wording import listed

Result = Mapping[str, Any]
ABOVE_CHANCE = 0.5


def render_across(result: Result, figures: Mapping[str, Mapping[str, str]]) -> str:
    """Returns the page of several comparisons as one HTML document that loads nothing from anywhere.

    Args:
      result: what ``tlj.evidence.judging.across.across`` returned.
      figures: ``{"across": {"wide": svg, "narrow": svg}}``, already escaped, from ``write_across_figures``.

    Returns:
      The document. Every name that came from a user is escaped.
    """
    return page_template("across.html.j2", formatting.FILTERS | {"two_places": _two_places}).render(
        across=result,
        context=_context(result),
        figures={name: {width: Markup(svg) for width, svg in pair.items()} for name, pair in figures.items()},
    )


def write_across_figures(result: Result, directory: Path) -> dict[str, dict[str, str]]:
    """Draws the figure, saves it as PNG and PDF, and returns it for the page.

    Args:
      result: what ``across`` returned.
      directory: where ``figures/`` is made.

    Returns:
      ``{"across": {"wide": svg, "narrow": svg}}``.
    """
    folder = Path(directory) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    with style():
        wide, narrow = draw_across(result, WIDE), draw_across(result, NARROW)
        save_figure(wide, folder / "across")
        return {"across": {"wide": inline_svg(wide, "across-wide"), "narrow": inline_svg(narrow, "across-narrow")}}


def across_answer(result: Result) -> str:
    """Says in a sentence which arms are shown to beat their twins across the data sets, over every label budget.

    An arm is shown to where the whole interval of its chance to beat the twin lies above one half.

    Args:
      result: what ``across`` returned.
    """
    rows = [row for row in result["scores"] if row["at"] == EVERY and row["improvement_interval"]]
    where = f"across {len(result['tasks'])} data sets"
    better = [row for row in rows if row["improvement_interval"][0] > ABOVE_CHANCE]
    worse = [row for row in rows if row["improvement_interval"][1] < ABOVE_CHANCE]
    if not better and not worse:
        return f"Undecided: {where} no arm is shown to beat its twin more often than not, or less often."
    parts = []
    for one, several, found in (
        ("beats its twin", "beat their twins", better),
        ("loses to its twin", "lose to their twins", worse),
    ):
        names = listed(f"{row['arm']} ({100 * row['probability_of_improvement']:.0f} %)" for row in found)
        parts += [f"{names} {one if len(found) == 1 else several}"] if found else []
    return f"{where.capitalize()}, {'; '.join(parts)} (in brackets the chance that a run beats one of the twin)."


def draw_across(result: Result, width: float) -> Figure:
    """Draws the interquartile mean of every arm over all label budgets, beside the performance profiles.

    Args:
      result: what ``across`` returned.
      width: in inches.

    Returns:
      The figure.
    """
    wide = width > NARROW
    rows = [row for row in result["scores"] if row["at"] == EVERY]
    looks = line_styles(result["arms"])
    height = 0.9 + 0.32 * len(rows)
    figure = Figure(figsize=(width, max(height, 2.6) if wide else height + 2.9), layout="constrained")
    means, profile = figure.subplots(1, 2) if wide else figure.subplots(2, 1, height_ratios=(height, 2.6))
    for place, row in enumerate(rows):
        look = looks[row["arm"]]
        if row["interval"]:
            means.plot(100 * np.array(row["interval"]), [place, place], color=look["color"], linewidth=1.6)
        means.plot([100 * row["iqm"]], [place], **look | {"linestyle": "none"}, markersize=5)
    means.set_yticks(range(len(rows)), [row["arm"] for row in rows])
    means.set_ylim(len(rows) - 0.5, -0.5)
    means.tick_params(axis="y", length=0)
    means.grid(axis="x", color=GRID, linewidth=0.7)
    means.set_title("Interquartile mean, %")
    _profiles(profile, result["profile"], looks)
    return figure


def _profiles(axes: Axes, profile: Mapping[str, Any], looks: Mapping[str, Mapping[str, Any]]) -> None:
    thresholds = 100 * np.array(profile["thresholds"])
    for row in profile["arms"]:
        look = {key: value for key, value in looks[row["arm"]].items() if key != "marker"}
        axes.plot(thresholds, 100 * np.array(row["share"]), **look, linewidth=1.5)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.set_title("Runs above a score, %")
    axes.set_xlabel("Normalised score, %")


def _context(result: Result) -> dict[str, Any]:
    columns = list(dict.fromkeys(row["at"] for row in result["scores"]))
    by_place = {(row["arm"], row["at"]): row for row in result["scores"]}
    arms = list(dict.fromkeys(row["arm"] for row in result["scores"]))
    every = [row for row in result["scores"] if row["at"] == EVERY]
    return {
        "answer": across_answer(result),
        "columns": columns,
        "rows": [{"arm": arm, "columns": [by_place.get((arm, at)) for at in columns]} for arm in arms],
        "alt": "Interquartile means of normalised scores in percent, and the share of runs above each score. "
        + "; ".join(f"{row['arm']}: {formatting.percent(row['iqm'])}" for row in every)
        + ".",
    }


def _two_places(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"
