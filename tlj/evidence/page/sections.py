"""The sections of the page, in order: each a template, what it shows besides the summary, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from tlj.evidence.page import calibration, figures
from tlj.evidence.page.cost import cost_context
from tlj.evidence.page.groups import group_accuracy, groups_context, shifted_accuracy
from tlj.evidence.page.label_value import draw_crossover, label_value, verdict_marks
from tlj.evidence.page.learning import learning_context, learning_curves
from tlj.evidence.page.pareto import draw_pareto
from tlj.evidence.page.parities import parities_context
from tlj.evidence.page.screening import draw_drift, screening_context
from tlj.evidence.page.tuning import expected_best, tuning_context
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
    Section("verdicts", verdict_marks, {"paired_difference": figures.paired_difference}),
    Section("effective_data", label_value, {"effective_data": figures.effective_data, "crossover": draw_crossover}),
    Section("parities", parities_context),
    Section("calibration", calibration.context, {"reliability": calibration.reliability}),
    Section("groups", groups_context, {"group_accuracy": group_accuracy, "shifted_accuracy": shifted_accuracy}),
    Section("learning", learning_context, {"learning_curves": learning_curves}),
    Section("cost", cost_context, {"pareto": draw_pareto}),
    Section("tuning", tuning_context, {"expected_best": expected_best}),
    Section("screening", screening_context, {"drift": draw_drift}),
    Section("claims"),
    Section("reproduce"),
    Section("notes"),
)
