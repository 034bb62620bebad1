"""An audit as a screen of text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from tlj.audit.page import number, percent

_CLASSES = 12
_PAIRS = 5
_MARKS = {"serious": "!!", "warning": " !", "note": "  "}


def format_audit(report: Mapping[str, Any]) -> str:
    """Returns the verdict, the findings, the counts and the first copies, in that order.

    Args:
      report: of ``tlj.audit.audit``.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = [*textwrap.wrap(report["verdict"], width), ""]
    for finding in report["findings"]:
        mark = _MARKS[finding["severity"]]
        lines += textwrap.wrap(_plain(finding["says"]), width, initial_indent=f"{mark} ", subsequent_indent="   ")
    if report["findings"]:
        lines.append("")
    return "\n".join([*lines, *_copies(report), *_counts(report), *_content(report)])


def _counts(report: Mapping[str, Any]) -> list[str]:
    splits = report["splits"]
    order = sorted(range(len(report["classes"])), key=lambda label: -splits[0]["classes"][label])
    shown = [*order[: _CLASSES // 2], *order[-(_CLASSES // 2) :]] if len(order) > _CLASSES else order
    rows = [[""] + [_plain(row["split"]) for row in splits]]
    rows += [[_plain(report["classes"][i])] + [f"{row['classes'][i]:,}" for row in splits] for i in shown]
    if len(order) > _CLASSES:
        middle = 1 + _CLASSES // 2
        rows.insert(middle, [f"… {len(order) - _CLASSES:,} more classes"] + [""] * len(splits))
    rows.append(["all"] + [f"{row['examples']:,}" for row in splits])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def _content(report: Mapping[str, Any]) -> list[str]:
    facts = report.get("images") or report.get("texts") or {}
    if facts.get("images"):
        formats = ", ".join(f"{row['count']:,} {row['value']}" for row in facts["formats"][:4])
        ends = facts["smallest"]["size"], facts["largest"]["size"]
        median = number(facts["shorter_edge"]["median"])
        sizes = f"{ends[0]} to {ends[1]}, shorter edge {median} (median), {facts['distinct_sizes']:,} different"
        return [
            "",
            f"sizes     {sizes if facts['distinct_sizes'] > 1 else 'all ' + ends[0]}",
            f"formats   {formats}",
        ]
    if facts.get("texts"):
        spread = facts["lengths"]
        cut = facts["truncated_share"]
        more = "" if cut is None else f"; {percent(cut)} longer than {facts['max_length']}"
        return [
            "",
            f"lengths   {spread['min']:,} to {spread['max']:,} {facts['unit']}, median {number(spread['median'])}, "
            f"95 % within {number(spread['p95'])}{more}",
        ]
    return []


def _copies(report: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in report["duplicates"]["of_training"]:
        for pair in row["pairs"][:_PAIRS]:
            labels = (pair["label"], pair["train_label"])
            said = labels[0] if labels[0] == labels[1] else f"{labels[0]}, in training {labels[1]}"
            lines.append(_plain(f"{pair['id']} = {pair['train_id']} ({pair['kind']}; {said})"))
        if row["copies"] > _PAIRS:
            lines.append(f"… {row['copies'] - _PAIRS:,} more copies in {row['split']}")
    return [*lines, ""] if lines else []


def _plain(text: str) -> str:
    """Control characters of a name could move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
