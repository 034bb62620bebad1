"""How figures look and how they are saved: one palette, every size, no global state, the same bytes each time."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

INK, MUTED, GRID, SURFACE, BAND = "#22262b", "#6a7078", "#e4e2dd", "#fffffe", "#ece8df"
# After Okabe and Ito, who chose them to be told apart in every common form of colour blindness.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#b65a95", "#b47d00", "#3d9fd6")
# No triangles: they point where a censored estimate would lie.
MARKERS = ("s", "D", "p", "P", "X", "h", "8")
# On the page these colours become variables of the style sheet, so that figures follow light and dark.
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface", BAND: "band"} | {
    colour: f"series-{i}" for i, colour in enumerate(SERIES)
}
WIDE, NARROW = 7.4, 4.0
MOST_CHARACTERS = 44


def style() -> AbstractContextManager:
    """Returns a context in which figures are made and saved; outside it matplotlib is as it was."""
    return matplotlib.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 8.5,
            "axes.edgecolor": MUTED,
            "axes.facecolor": "none",
            "axes.labelcolor": INK,
            "axes.linewidth": 0.7,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": INK,
            "axes.titlelocation": "left",
            "axes.titlesize": 9,
            "axes.labelsize": 8.5,
            "figure.facecolor": "none",
            "legend.frameon": False,
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            "text.color": INK,
            "text.parse_math": False,
            "xtick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.color": MUTED,
            "ytick.labelcolor": INK,
        }
    )


def line_styles(arms: Sequence[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Returns the look of each arm: the twin in ink, transferred arms solid, controls dashed.

    Args:
      arms: ``summary["arms"]``.

    Returns:
      Keyword arguments of ``Axes.errorbar`` by arm.
    """
    looks, used = {}, 0
    for arm in arms:
        if arm["role"] == "twin":
            looks[arm["arm"]] = {"color": INK, "marker": "o", "linestyle": "-"}
            continue
        looks[arm["arm"]] = {
            "color": SERIES[used % len(SERIES)],
            "marker": MARKERS[used % len(MARKERS)],
            "linestyle": (0, (4, 2)) if arm["role"] == "control" else "-",
        }
        used += 1
    return looks


def label_axis(axes: Axes, budgets: Sequence[int], most: int = 8) -> None:
    """Makes the x axis a log axis of label budgets, each at its tick and at most ``most`` of them named."""
    axes.set_xscale("log")
    named = set(np.linspace(0, len(budgets) - 1, min(most, len(budgets))).astype(int))
    names = [f"{budget:,}" if i in named else "" for i, budget in enumerate(budgets)]
    axes.xaxis.set_major_locator(FixedLocator(budgets))
    axes.xaxis.set_major_formatter(FixedFormatter(names))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def dodge(budgets: Sequence[int], place: int, places: int) -> np.ndarray:
    """Returns the budgets shifted a little on a log axis, so that neighbouring intervals do not hide each other.

    Args:
      budgets: the label budgets.
      place: which of the arms this is.
      places: how many arms there are.

    Returns:
      The x positions.
    """
    gaps = np.diff(np.log(sorted(set(budgets))))
    room = 0.4 * float(gaps.min()) if gaps.size else 0.3
    shift = 0.0 if places < 2 else min(room, 0.05 * places) * (place / (places - 1) - 0.5)
    return np.asarray(budgets, np.float64) * np.exp(shift)


def shorten_texts(figure: Figure, most: int = MOST_CHARACTERS) -> None:
    """Cuts the lines of a figure's texts that are longer than ``most``: one long name would leave the axes no room."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        formatter = axis.get_major_formatter()
        # Tick labels are made anew from these whenever the figure is drawn.
        if isinstance(formatter, (FixedFormatter, FuncFormatter)):
            axis.set_major_formatter(lambda x, at=None, named=formatter: _shortened(named(x, at), most))
    for text in figure.findobj(Text):
        text.set_text(_shortened(text.get_text(), most))


def _shortened(text: str, most: int) -> str:
    lines = text.split("\n")
    return "\n".join(line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}" for line in lines)


def _settle(figure: Figure) -> None:
    """Lays a figure out once: whoever saves it in another format finds everything in its place."""
    if figure.get_layout_engine() is not None:
        shorten_texts(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine(None)


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Saves a figure as PNG and PDF on white, without dates.

    Args:
      figure: the figure.
      stem: the path without its ending.

    Returns:
      The two paths.
    """
    _settle(figure)
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    figure.savefig(png, dpi=200, facecolor="white", metadata={"Software": None})
    figure.savefig(pdf, facecolor="white", metadata={"CreationDate": None})
    return [png, pdf]


def inline_svg(figure: Figure, name: str) -> str:
    """Returns a figure as SVG to stand inside a page, its colours as variables of the page's style sheet.

    Args:
      figure: the figure.
      name: unique on the page; element ids are derived from it.

    Returns:
      An ``<svg>`` element. Texts are escaped by matplotlib.
    """
    _settle(figure)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    # The ids of groups repeat from figure to figure, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true" focusable="false">', text, count=1
    )
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text
