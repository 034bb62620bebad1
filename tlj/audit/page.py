"""The page of an audit: the report laid out as one HTML document that loads nothing from anywhere."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from tlj.audit.counts import FEW
from tlj.audit.duplicates import LISTED
from tlj.audit.near_images import ALIKE, SMALLEST
from tlj.audit.perceptual import RADIUS
from tlj.audit.pictures import Pictures
from tlj.audit.suspicions import TELLING_DISTANCE, TELLING_V

PAIRS, GROUPS, MEMBERS, CLASSES, UNREADABLE = 36, 12, 8, 40, 50
_HEIGHT = 60

Report = Mapping[str, Any]


def render_page(report: Report, pictures: Pictures, examples: Mapping[str, Sequence[str]]) -> str:
    """Returns the page.

    Args:
      report: of ``tlj.audit.audit``.
      pictures: shows examples by their ids.
      examples: ids to show, by class name.

    Returns:
      The document. Every name and every text that came from data is escaped.
    """
    environment = jinja2.Environment(
        # The style is that of the report of a comparison.
        loader=jinja2.ChoiceLoader([_templates("tlj.audit"), _templates("tlj.evidence.page")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number}
    duplicates = report["duplicates"]
    return environment.get_template("audit.html.j2").render(
        r=report,
        images=report["kind"] == "images",
        one="image" if report["kind"] == "images" else "text",
        pictures=pictures,
        between=[row for row in duplicates["of_training"] if row["copies"]],
        within=[row for row in duplicates["within"] if row["groups"]],
        classes=_class_rows(report),
        classes_left_out=max(len(report["classes"]) - CLASSES, 0),
        examples=examples,
        distributions=_distributions(report),
        shown={"pairs": PAIRS, "groups": GROUPS, "members": MEMBERS, "unreadable": UNREADABLE},
        limits={
            "radius": RADIUS,
            "alike": ALIKE,
            "smallest": SMALLEST,
            "v": TELLING_V,
            "distance": TELLING_DISTANCE,
            "few": FEW,
            "listed": LISTED,
        },
    )


def percent(share: float | None) -> str:
    """Returns ``0.0234`` as ``2.3 %``; what does not exist is an en dash."""
    if share is None:
        return "–"
    return f"{100 * share:.2g} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def number(value: float | None) -> str:
    """Returns a number with at most three digits after thousands are set apart."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _templates(package: str) -> jinja2.FileSystemLoader:
    return jinja2.FileSystemLoader(str(importlib.resources.files(package) / "templates"))


def _class_rows(report: Report) -> list[dict[str, Any]]:
    """A row for each class, the largest first; of very many classes the largest and the smallest."""
    splits = report["splits"]
    totals = [sum(counts) for counts in zip(*(row["classes"] for row in splits), strict=True)]
    order = sorted(range(len(totals)), key=lambda label: -totals[label])
    if len(order) > CLASSES:
        order = order[: CLASSES // 2] + order[-(CLASSES // 2) :]
    largest = [max(row["classes"], default=0) or 1 for row in splits]
    return [
        {
            "name": report["classes"][label],
            "counts": [
                {"count": row["classes"][label], "share": row["classes"][label] / most}
                for row, most in zip(splits, largest, strict=True)
            ],
        }
        for label in order
    ]


def _distributions(report: Report) -> list[dict[str, Any]]:
    facts = report.get("images") or report.get("texts") or {}
    named = (
        ("shorter_edge", "Shorter edge in pixels"),
        ("aspect", "Width by height"),
        ("bytes", "Bytes of a file"),
        ("lengths", f"Length in {facts.get('unit', '')}"),
    )
    return [
        {"title": title, **facts[key], "bars": _bars(facts[key]["histogram"])}
        for key, title in named
        if key in facts and facts[key]["min"] < facts[key]["max"]
    ]


def _bars(histogram: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    counts, most = histogram["counts"], max(histogram["counts"]) or 1
    return [
        {"x": 10 * place, "y": round(_HEIGHT * (1 - count / most), 2), "height": round(_HEIGHT * count / most, 2)}
        for place, count in enumerate(counts)
        if count
    ]
