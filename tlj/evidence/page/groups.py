"""What the page says of groups and of shifted test sets: the sections' contexts and their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlj.evidence.page.drawing import GRID, NARROW, line_styles
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words.formatting import percent, percents
from tlj.evidence.words.wording import listed, points, points_interval

Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
MOST_SHOWN = 12
RATES = {
    "equalised_odds": "Equalised odds",
    "demographic_parity": "Demographic parity",
    "equal_opportunity": "Equal opportunity",
}


def groups_context(comparison: Comparison, summary: Summary) -> Mapping[str, Any]:
    """Returns what the section on groups and shifted sets shows.

    Args:
      comparison: the runs.
      summary: its ``summary.json``.

    Returns:
      ``groups`` and ``shifts``, each None where there are no data for it.
    """
    return {"groups": _groups(summary), "shifts": _shifts(summary)}


def group_accuracy(summary: Summary, width: float) -> Figure | None:
    """Draws the accuracy of each group, one marker per arm at its largest label budget.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there are no groups.
    """
    audit = summary.get("groups")
    if not audit or not audit["cells"]:
        return None
    shown = _ordered_groups(audit)[:MOST_SHOWN]
    rows = {
        cell["arm"]: [by_name[name] for name in shown]
        for cell in _largest(audit["cells"])
        if (by_name := {row["group"]: row for row in cell["groups"]})
    }
    return _dots(
        rows, shown, summary, width, "Test accuracy by group, %", lambda row: (row["accuracy"], row["interval"])
    )


def shifted_accuracy(summary: Summary, width: float) -> Figure | None:
    """Draws what each arm reaches on its own test and on every shifted set, at its largest label budget.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where there are no shifted sets, or their metric is no share.
    """
    audit = summary.get("shifts")
    if not audit or not Metric(audit["metric"]).is_share:
        return None
    shown = [row["shift"] for row in audit["sets"]][:MOST_SHOWN]
    rows: dict[str, list] = {}
    for cell in _largest(audit["cells"]):
        rows.setdefault(cell["arm"], [{"mean": cell["own_mean"], "interval": cell["own_interval"]}])
        if cell["shift"] in shown:
            rows[cell["arm"]].append(cell)
    rows = {arm: cells for arm, cells in rows.items() if len(cells) == len(shown) + 1}
    title = f"{_capital(audit['metric'])} on each test set, %"
    return _dots(rows, ["own test", *shown], summary, width, title, lambda row: (row["mean"], row["interval"]))


def _dots(
    rows: Mapping[str, Rows],
    names: Sequence[str],
    summary: Summary,
    width: float,
    title: str,
    read: Callable[[Mapping], tuple[float, Sequence[float] | None]],
) -> Figure | None:
    arms = [arm["arm"] for arm in summary["arms"] if arm["arm"] in rows]
    if not arms:
        return None
    looks = line_styles(summary["arms"])
    legend_rows = -(-len(arms) // (5 if width > NARROW else 2))
    height = 0.9 + 0.22 * legend_rows + (0.16 + 0.1 * len(arms)) * len(names)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for place, arm in enumerate(arms):
        _dot_row(axes, [read(row) for row in rows[arm]], place, len(arms), looks[arm], arm)
    axes.set_yticks(range(len(names)), [name if len(name) <= 24 else f"{name[:23]}…" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title)
    figure.legend(loc="outside upper left", ncols=min(len(arms), 5 if width > NARROW else 2), columnspacing=1.4)
    return figure


def _dot_row(
    axes: Axes, values: Sequence[tuple[float, Sequence[float] | None]], place: int, places: int, look: Mapping, arm: str
) -> None:
    y = np.arange(len(values)) + (0 if places < 2 else 0.6 * (place / (places - 1) - 0.5))
    means = 100 * np.array([mean for mean, _ in values])
    ends = 100 * np.array([interval or (mean, mean) for mean, interval in values])
    axes.errorbar(
        means,
        y,
        xerr=np.abs(ends.T - means),
        color=look["color"],
        marker=look["marker"],
        linestyle="none",
        elinewidth=1.1,
        markersize=4.6,
        label=arm,
    )


def _largest(cells: Rows) -> list[Mapping[str, Any]]:
    """The cells of each arm at its largest label budget, in their order."""
    most = {cell["arm"]: max(c["budget"] for c in cells if c["arm"] == cell["arm"]) for cell in cells}
    return [cell for cell in cells if cell["budget"] == most[cell["arm"]]]


def _ordered_groups(audit: Mapping[str, Any]) -> list[str]:
    """The groups, the largest first."""
    return [row["group"] for row in sorted(audit["used"], key=lambda row: (-row["examples"], row["group"]))]


def _groups(summary: Summary) -> Mapping[str, Any] | None:
    audit = summary.get("groups")
    if not audit:
        return None
    used = [f"{row['group']} ({row['examples']:,})" for row in audit["used"]]
    suppressed = [f"{row['group']} ({row['examples']:,})" for row in audit["suppressed"]]
    arms = [arm["arm"] for arm in summary["arms"]]
    largest = _largest(audit["cells"])
    names = _ordered_groups(audit)
    kinds = sorted({cell["interval_of"] for cell in audit["cells"]})
    return {
        "used": _listed(used),
        "suppressed": _listed(suppressed),
        "least": audit["least"],
        "ungrouped": audit["ungrouped"],
        "multiclass": audit["classes"] > 2,
        "permutations": audit.get("permutations"),
        "rates": list(RATES.values()),
        "gaps": [_gap_row(cell) for cell in largest],
        "intervals": " and ".join({"Wilson": "Wilson's, of one run,"}.get(kind, kind) for kind in kinds),
        "widening": _by_place(
            audit["differences"], [arm for arm in arms if arm != summary["twin"]], summary["budgets"]
        ),
        "names": names[:MOST_SHOWN],
        "hidden": max(len(names) - MOST_SHOWN, 0),
        "accuracies": [_accuracy_row(cell, names[:MOST_SHOWN]) for cell in audit["cells"]],
        "alt": "Dot chart of test accuracy by group. "
        + "; ".join(f"{row['arm']}: worst {row['worst']}, {row['worst_accuracy']} %" for row in map(_gap_row, largest))
        + ".",
    }


def _gap_row(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "arm": cell["arm"],
        "budget": cell["budget"],
        "worst": cell["worst"]["group"],
        "worst_accuracy": percent(cell["worst"]["accuracy"]),
        "worst_interval": percents(cell["worst"]["interval"]),
        "gap": points(cell["gap"]["mean"], signed=False),
        "gap_interval": points_interval(cell["gap"]["interval"]),
        "chance": points(cell["gap"]["null_mean"], signed=False),
        "p": cell["gap"]["p"],
        "rates": [_estimate(cell[name]) for name in RATES],
    }


def _estimate(estimate: Mapping[str, Any] | None) -> tuple[str, str]:
    if estimate is None:
        return "–", ""
    return points(estimate["mean"], signed=False), points_interval(estimate["interval"])


def _accuracy_row(cell: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    groups = {row["group"]: row for row in cell["groups"]}
    values = [(percent(groups[name]["accuracy"]), percents(groups[name]["interval"])) for name in names]
    return {"arm": cell["arm"], "budget": cell["budget"], "values": values}


def _by_place(rows: Rows, arms: Sequence[str], budgets: Sequence[int]) -> list[dict[str, Any]]:
    places = {(row["arm"], row["budget"]): row for row in rows}
    return [{"arm": arm, "columns": [places.get((arm, budget)) for budget in budgets]} for arm in arms]


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - MOST_SHOWN
    return listed([*parts[:MOST_SHOWN], f"{more} more"] if more > 0 else parts)


def _shifts(summary: Summary) -> Mapping[str, Any] | None:
    audit = summary.get("shifts")
    if not audit:
        return None
    value, difference = _writers(Metric(audit["metric"]))
    against = {(row["arm"], row["budget"], row["shift"]): row for row in audit["differences"]}
    worst = {(row["arm"], row["budget"]): row["shift"] for row in audit["worst"]}
    rows = [
        {
            **{key: cell[key] for key in ("arm", "budget", "shift")},
            "value": value(cell["mean"]),
            "interval": _ends(value, cell["interval"]),
            "own": value(cell["own_mean"]),
            "drop": difference(cell["drop"]),
            "drop_interval": _ends(difference, cell["drop_interval"]),
            "auroc": "–" if cell["msp_auroc"] is None else f"{cell['msp_auroc']['mean']:.3f}",
            "fpr": "–" if cell["msp_fpr_at_95"] is None else percent(cell["msp_fpr_at_95"]["mean"]),
            "is_worst": len(audit["sets"]) > 1 and worst[cell["arm"], cell["budget"]] == cell["shift"],
            "against": _against(against.get((cell["arm"], cell["budget"], cell["shift"])), difference),
        }
        for cell in audit["cells"]
    ]
    return {
        "metric": audit["metric"].replace("_", " "),
        "unit": "in percent" if Metric(audit["metric"]).is_share else "in its own unit",
        "sets": _listed([f"{row['shift']} ({row['examples']:,} examples)" for row in audit["sets"]]),
        "largest": _largest(rows),
        "rows": rows,
        "several": len(audit["sets"]) > 1,
        "alt": f"Dot chart of {audit['metric'].replace('_', ' ')} on each test set. "
        + "; ".join(f"{row['arm']} on {row['shift']}: {row['value']}, own test {row['own']}" for row in _largest(rows))
        + ".",
    }


def _against(row: Mapping[str, Any] | None, difference: Callable[[float], str]) -> dict[str, str] | None:
    if row is None:
        return None
    return {
        "word": row["word"],
        "difference": difference(row["difference"]),
        "interval": _ends(difference, row["interval"]),
        "drop": difference(row["drop_difference"]),
        "drop_interval": _ends(difference, row["drop_interval"]),
    }


def _writers(metric: Metric) -> tuple[Callable[[float], str], Callable[[float], str]]:
    """How values of a metric and their differences are written."""
    if metric.is_share:
        return percent, points
    return lambda value: f"{value:.3g}", lambda value: f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def _ends(write: Callable[[float], str], interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"[{', '.join(write(end).removeprefix('+') for end in interval)}]"


def _capital(metric: str) -> str:
    words = metric.replace("_", " ")
    return words[0].upper() + words[1:]
