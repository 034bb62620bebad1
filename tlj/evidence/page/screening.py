"""The section on screening: scores of features before training, and how far training moved them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from tlj.evidence.page.drawing import GRID, MUTED, NARROW, line_styles
from tlj.evidence.runs import Comparison

Summary = Mapping[str, Any]
# The embedding has depth 0; behind the last block stands what the head reads.
POOLED = "pooled"
MOST_NAMED = 8
SHARES = ("accuracy", "auroc", "mean_average_precision", "macro_f1", "micro_f1", "subset_accuracy")


def screening_context(comparison: Comparison, summary: Summary) -> dict[str, Any]:
    """Returns what the template shows besides the summary: rows as text, and the text alternative of the figure.

    Args:
      comparison: not needed.
      summary: ``summary.json``.
    """
    found = summary.get("screening") or {}
    drift = found.get("drift") or {"arms": []}
    return {
        "rows": [_row(row, summary["metric"]) for row in found.get("inits", [])],
        "agreement": [_two(value) for value in (found.get("agreement") or {}).values()],
        "any_agreement": any(value is not None for value in (found.get("agreement") or {}).values()),
        "depths": _depth_names(drift["arms"]),
        "drift": [_drift_row(row, part) for row in drift["arms"] for part in ("start", "twin") if row[part]],
        "chance": [_two(value) for value in _chance(drift["arms"])],
        "problems": [row["problem"] for row in found.get("inits", []) if row["problem"]],
        "alt": _alternative(drift, summary["twin"]),
    }


def draw_drift(summary: Summary, width: float) -> Figure | None:
    """Draws linear CKA by depth: each arm's end against its own start, and against the end of the twin.

    Args:
      summary: ``summary.json``.
      width: in inches.

    Returns:
      The figure, or None where drift was not measured.
    """
    drift = (summary.get("screening") or {}).get("drift")
    if not drift or not drift["arms"]:
        return None
    wide, looks = width > NARROW, line_styles(summary["arms"])
    parts = [part for part in ("start", "twin") if any(row[part] for row in drift["arms"])]
    shape = (1, len(parts)) if wide else (len(parts), 1)
    figure = Figure(figsize=(width, 3.5 if wide else 0.8 + 2.9 * len(parts)), layout="constrained")
    titles = {"start": "Each arm's end and its own start", "twin": f"Each arm's end and that of {drift['twin']}"}
    for axes, part in zip(figure.subplots(*shape, sharey=True, squeeze=False).flat, parts, strict=True):
        _depth_axis(axes, _depth_names(drift["arms"]))
        axes.set_title(titles[part])
        for row in drift["arms"]:
            if row[part]:
                y = [*row[part], row[f"{part}_features"]]
                y = [float("nan") if value is None else value for value in y]
                axes.plot(range(len(y)), y, **looks[row["arm"]], label=row["arm"], linewidth=1.5, markersize=4.6)
        chance = _chance(drift["arms"])
        axes.plot(range(len(chance)), chance, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    first = figure.axes[0]
    figure.legend(
        *first.get_legend_handles_labels(),
        loc="outside upper left",
        ncols=min(len(drift["arms"]), 5 if wide else 2),
        columnspacing=1.4,
    )
    return figure


def _depth_axis(axes: Axes, names: Sequence[str]) -> None:
    step = -(-len(names) // MOST_NAMED)
    named = [name if i % step == 0 or name == POOLED else "" for i, name in enumerate(names)]
    if step > 1:
        # The name of the last is longer than a number, and needs the room of its neighbour.
        named[-2] = ""
    axes.xaxis.set_major_locator(FixedLocator(range(len(names))))
    axes.xaxis.set_major_formatter(FixedFormatter(named))
    axes.set_ylim(-0.03, 1.05)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel("Depth (0 is the embedding)")


def _depth_names(arms: Sequence[Mapping]) -> list[str]:
    return [*map(str, range(len(arms[0]["start"]))), POOLED] if arms else []


def _chance(arms: Sequence[Mapping]) -> list[float]:
    """The largest that shuffled examples gave in any arm, by depth."""
    by_depth = zip(*([*row["chance"], row["chance_features"]] for row in arms), strict=True)
    return [max(filter(None, values), default=0.0) for values in by_depth]


def _row(row: Mapping, metric: str) -> dict[str, str]:
    result = row["result"]
    return {
        "init": row["init"],
        "width": f"{row['width']:,}",
        "neighbours": _share(row["neighbours"]),
        "probe": _share(row["probe"]),
        "logme": _two(row["logme"]),
        "h_score": _two(row["h_score"]),
        "result": _measured(result["mean"], metric) if result else "–",
        "arm": result["arm"] if result else "",
    }


def _drift_row(row: Mapping, part: str) -> dict[str, Any]:
    values = [*row[part], row[f"{part}_features"]]
    against = {"start": "its own start", "twin": "the twin's end"}[part]
    return {"arm": row["arm"], "against": against, "values": [_two(value) for value in values]}


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _measured(value: float, metric: str) -> str:
    return f"{100 * value:.1f} %" if metric in SHARES else f"{value:.4g}"


def _alternative(drift: Mapping, twin: str) -> str:
    parts = []
    for row in drift["arms"]:
        text = f"{row['arm']}: {_two(row['start'][0])} at the embedding, {_two(row['start_features'])} before the head"
        if row["twin"]:
            text += f"; against {twin} {_two(row['twin'][0])} and {_two(row['twin_features'])}"
        parts.append(text)
    return "Line charts of linear CKA by depth, against an arm's own start. " + ". ".join(parts) + "."
