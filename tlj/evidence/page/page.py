"""The page of a comparison: ``summary.json`` laid out as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tlj.evidence.input import input_words, waiting_share
from tlj.evidence.judging.verdict import MEANINGS
from tlj.evidence.page.sections import SECTIONS
from tlj.evidence.page.templating import page_template
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import Metric
from tlj.evidence.words import formatting, metric_words, wording

GLYPHS = {"helps": "▲", "helps-small": "△", "hurts": "▼", "equivalent": "=", "undecided": "?"}
MEASURES = {
    "nll": "By test loss (mean negative log-likelihood)",
    "error": "By test error rate",
    "nll_scaled": "By test loss after temperature scaling",
    "loss": "By test loss",
}
Summary = Mapping[str, Any]


def render_page(comparison: Comparison, summary: Summary, figures: Mapping[str, Mapping[str, str]]) -> str:
    """Returns the page as one HTML document that loads nothing from anywhere.

    Args:
      comparison: for what was declared: the command, the config differences, the versions.
      summary: its ``summary.json``.
      figures: ``{name: {"wide": svg, "narrow": svg}}``, already escaped.

    Returns:
      The document. Every name that came from a user is escaped.
    """
    metric = Metric(summary["metric"])
    template = page_template("report.html.j2", formatting.FILTERS | metric_words.filters(metric))
    arms = [arm["arm"] for arm in summary["arms"]]
    others = [arm for arm in arms if arm != summary["twin"]]
    curves = summary["effective_data_curves"]
    return template.render(
        s=summary,
        metric=metric,
        metric_name=metric_words.named(metric),
        metric_unit=metric_words.unit(metric),
        sections=[section.name for section in SECTIONS],
        contexts={section.name: section.context(comparison, summary) for section in SECTIONS},
        figures={name: {width: Markup(svg) for width, svg in pair.items()} for name, pair in figures.items()},
        alt=_alternatives(summary),
        facts=_facts(comparison, summary),
        setting=_setting(comparison, summary),
        command=comparison.declared.get("command"),
        diffs=_diffs(comparison),
        glyphs=GLYPHS,
        meanings=MEANINGS,
        floor_words=_floor_words(summary["verdicts"]),
        cells=_grid(summary["cells"], arms, summary["budgets"]),
        verdicts=_grid(_with_runs(summary["verdicts"], summary["cells"]), others, summary["budgets"]),
        effective=[
            {"title": MEASURES[curve["measure"]], "rows": _grid(rows, others, summary["budgets"])}
            for curve in curves
            if (rows := [row for row in summary["effective_data"] if row["measure"] == curve["measure"]])
        ],
        any_flagged=any(row["flagged"] for row in summary["effective_data"]),
        curve_warnings=[_curve_warning(curve, summary["twin"]) for curve in curves if curve["warning"]],
        finished=len(comparison.runs),
        declared_runs=len(comparison.runs) + len(comparison.missing),
        missing_by_arm=[{"arm": arm, "count": n} for arm, n in Counter(r["arm"] for r in summary["missing"]).items()],
    )


def _with_runs(rows: Sequence[Mapping], cells: Sequence[Mapping]) -> list[dict[str, Any]]:
    """The rows with the folder of the arm's runs, which their numbers lead to."""
    folders = {(cell["arm"], cell["budget"]): cell["path"] for cell in cells}
    return [{**row, "path": folders[row["arm"], row["budget"]]} for row in rows]


def _grid(rows: Sequence[Mapping], arms: Sequence[str], budgets: Sequence[int]) -> list[dict[str, Any]]:
    by_place = {(row["arm"], row["budget"]): row for row in rows}
    return [{"arm": arm, "columns": [by_place.get((arm, budget)) for budget in budgets]} for arm in arms]


def _facts(comparison: Comparison, summary: Summary) -> list[tuple[str, str]]:
    model = dict(comparison.declared.get("model") or {})
    family = model.pop("family", None)
    size = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in model.items())
    grid = [len(summary[key]) for key in ("arms", "budgets", "seeds")]
    of_accuracy = " of accuracy" if summary["metric"] == "accuracy" else ""
    facts = [
        ("Task", summary["task"]),
        ("Backbone from", summary["source_task"] or comparison.declared.get("source") or "given parameters"),
        ("Model", f"{family or 'unnamed'}{f' ({size})' if size else ''}"),
        ("Grid", f"{grid[0]} arms × {grid[1]} label budgets × {grid[2]} seeds"),
        ("Test set", f"{summary['test_examples']:,} examples" if summary["test_examples"] else "not opened yet"),
        ("Margin", metric_words.margin(summary["margin"], Metric(summary["metric"])) + of_accuracy),
    ]
    return [(name, str(value)) for name, value in facts]


def _setting(comparison: Comparison, summary: Summary) -> list[tuple[str, str]]:
    declared, manifest = comparison.declared, comparison.manifest or {}
    devices, data = manifest.get("devices") or {}, manifest.get("data") or {}
    facts = [
        ("Seeds", ", ".join(map(str, comparison.seeds))),
        ("Label budgets", ", ".join(f"{budget:,}" for budget in comparison.budgets)),
        ("Steps", declared.get("steps")),
        ("Global batch size", declared.get("global_batch_size")),
        ("Device", " ".join(str(devices[key]) for key in ("count", "kind") if key in devices) or None),
        ("Data hash", data.get("hash")),
        ("Input", input_words(summary["input"], waiting_share(summary["timing"]))),
        *sorted((manifest.get("versions") or {}).items()),
    ]
    return [(str(name), str(value)) for name, value in facts if value is not None]


def _diffs(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {"arm": arm.name, "key": key, "twin_value": values[0], "value": values[1]}
        for arm in comparison.arms
        for key, values in sorted(arm.diff.items())
    ]


def _floor_words(rows: Sequence[Mapping]) -> str:
    floors = sorted({(row["p_floor"], len(row["seeds"])) for row in rows})
    if not floors:
        return ""
    floor, seeds = floors[0]
    words = f"With {seeds} seed{'s' if seeds > 1 else ''} p cannot be smaller than {formatting.p_value(floor)}"
    return f"{words}, so no p here can reach 0.05; the verdicts rest on the intervals." if floor > 0.05 else f"{words}."


def _curve_warning(curve: Mapping, twin: str) -> str:
    shift = curve["largest_shift_in_standard_errors"]
    return (
        f"Warning, {MEASURES[curve['measure']].lower()}: the curve of {twin} rises with more labels somewhere, by more "
        f"than chance explains; making it monotone moved a point by {shift:.1f} standard errors. Read it with care."
    )


def _alternatives(summary: Summary) -> dict[str, str]:
    arms, metric = [arm["arm"] for arm in summary["arms"]], Metric(summary["metric"])
    name, percent = metric_words.named(metric), " %" if metric.is_share else ""
    unit = " in points" if metric.is_share else ""
    measure = "error" if any(row["measure"] == "error" for row in summary["effective_data"]) else "loss"
    return {
        "label_efficiency": f"Line chart of test {name} over label budget. "
        + _ends(summary["cells"], arms, lambda cell: metric_words.value(cell["mean"], metric) + percent),
        "paired_difference": f"Charts of the difference to {summary['twin']}{unit} over label budget. "
        + _ends(
            summary["verdicts"],
            arms,
            lambda row: f"{metric_words.difference(row['difference'], metric)} ({row['verdict']})",
        ),
        "effective_data": f"Charts of the labels that {summary['twin']} needs over an arm's labels. By test {measure}: "
        + _ends(
            [row for row in summary["effective_data"] if row["measure"] == measure],
            arms,
            lambda row: f"{formatting.bound(row)}{wording.count(row['effective_labels'])}",
        ),
    }


def _ends(rows: Sequence[Mapping], arms: Sequence[str], value) -> str:
    parts = []
    for arm in arms:
        mine = [row for row in rows if row["arm"] == arm]
        if mine:
            first, last = mine[0], mine[-1]
            parts.append(f"{arm}: {value(first)} at {first['budget']:,} labels, {value(last)} at {last['budget']:,}")
    return "; ".join(parts) + "." if parts else ""
