"""The sections of the page, in order: each a template, what it shows besides the summary, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from tlj.evidence.page import figures
from tlj.evidence.runs import Comparison

Summary = Mapping[str, Any]
Draw = Callable[[Summary, float], Figure | None]


def _nothing(comparison: Comparison, summary: Summary) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Args:
      name: of its template, ``templates/sections/NAME.html.j2``, which finds its context as ``contexts.NAME``.
      context: what the template shows besides the summary ``s``, computed from both.
      figures: by name, each drawn from the summary for a width in inches; None where there is nothing to draw.
    """

    name: str
    context: Callable[[Comparison, Summary], Mapping[str, Any]] = _nothing
    figures: Mapping[str, Draw] = field(default_factory=dict)


SECTIONS = (
    Section("accuracy", figures={"label_efficiency": figures.label_efficiency}),
    Section("verdicts", figures={"paired_difference": figures.paired_difference}),
    Section("effective_data", figures={"effective_data": figures.effective_data}),
    Section("cost"),
    Section("reproduce"),
    Section("notes"),
)
