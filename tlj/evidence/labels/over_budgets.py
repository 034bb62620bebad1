"""What a comparison says over all its label budgets together, as it stands in ``summary.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.evidence.judging.adaptive import declared_confidence
from tlj.evidence.judging.verdict import Verdicts
from tlj.evidence.labels.area import Curves, areas
from tlj.evidence.labels.crossover import crossovers, negative_transfer
from tlj.evidence.labels.effective_data import Inversion, invert
from tlj.evidence.labels.labels_to_target import labels_to_target
from tlj.evidence.labels.law import fit_laws
from tlj.evidence.labels.resampling import Losses
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.judged import judged, metric_of


def inversions(comparison: Comparison, losses: Mapping[str, Mapping[str, Losses]]) -> list[Inversion]:
    """Returns the effective data of a comparison by every measure, with their resamples.

    Args:
      comparison: the runs.
      losses: ``{measure: {arm: {budget: {seed: loss}}}}``.

    Returns:
      One inversion per measure in which the twin has a finite loss.
    """
    found = (invert(comparison.twin, by_arm, measure) for measure, by_arm in losses.items())
    return [inversion for inversion in found if inversion is not None]


def over_budgets(
    comparison: Comparison,
    verdicts: Verdicts,
    losses: Mapping[str, Mapping[str, Losses]],
    inverted: Sequence[Inversion],
) -> dict[str, Any]:
    """Returns the keys ``negative_transfer``, ``crossover``, ``aulc``, ``labels_to_target`` and ``law``.

    Args:
      comparison: the runs.
      verdicts: every pair of its arms at every budget.
      losses: ``{measure: {arm: {budget: {seed: loss}}}}``.
      inverted: the effective data by every measure.

    Returns:
      Lists of rows, plain enough for JSON.
    """
    twin, confidence = comparison.twin, declared_confidence(comparison.declared)
    measure = "error" if "error" in losses else next(iter(losses))
    curves, lower = _curves(comparison), metric_of(comparison).lower_is_better
    rows = areas(curves, twin, confidence, lower)
    full_data = comparison.declared.get("full_data_labels")
    return {
        "negative_transfer": negative_transfer(verdicts, twin),
        "crossover": [row.to_json() for row in crossovers(_risks(curves, lower), twin, confidence)],
        "aulc": [row.to_json() for row in rows],
        "labels_to_target": [row.to_json() for row in labels_to_target(twin, losses[measure], measure)],
        "law": [law.to_json() for inversion in inverted for law in fit_laws(inversion, full_data)],
    }


def _curves(comparison: Comparison) -> dict[str, dict[int, dict[int, float]]]:
    return {
        arm.name: {
            budget: {
                seed: value for seed, value in judged(comparison, arm.name, budget).items() if math.isfinite(value)
            }
            for budget in comparison.budgets
        }
        for arm in comparison.arms
    }


def _risks(curves: Mapping[str, Curves], lower_is_better: bool) -> dict[str, dict[int, dict[int, float]]]:
    """Returns how far each run stays below one, the best that a metric which rises can be; a loss is its own risk."""
    return {
        arm: {
            budget: {seed: value if lower_is_better else 1.0 - value for seed, value in runs.items()}
            for budget, runs in curve.items()
        }
        for arm, curve in curves.items()
    }
