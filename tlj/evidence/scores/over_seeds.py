"""The scores of the runs of a comparison, over seeds: every metric, calibration, and what is taken for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tlj.evidence.judging.statistics import mean_interval
from tlj.evidence.runs import Comparison
from tlj.evidence.scores.classes import PROPER
from tlj.evidence.scores.metrics import Scores

MOST_PAIRS = 10


def metrics(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns every metric of every arm at every label budget.

    Args:
      comparison: the runs.

    Returns:
      Rows of ``arm``, ``budget``, ``seeds``, and by name each metric's ``mean`` and t ``interval`` over the seeds for
      which it is defined (None where there are none); under ``best`` the same of the best checkpoints, where tested.
    """
    rows = []
    for arm, budget, cell in _cells(comparison):
        row = {"arm": arm, "budget": budget, "seeds": list(cell), **_every_metric(cell.values())}
        best = [scores.best for scores in cell.values() if scores.best is not None]
        rows.append(row | ({"best": _every_metric(best)} if best else {}))
    return rows


def calibration(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns how far confidence is from accuracy, before and after temperature scaling.

    Args:
      comparison: the runs.

    Returns:
      Rows of ``arm``, ``budget``, ``temperature`` and by name of ``PROPER`` the ``before`` and ``after``, each a
      ``mean`` and t ``interval`` over seeds or None; no row where no run has probabilities.
    """
    rows = []
    for arm, budget, cell in _cells(comparison):
        runs = list(cell.values())
        told = {
            name: {
                "before": _mean(s.value(name) for s in runs),
                "after": _mean(s.value(f"{name}_scaled") for s in runs),
            }
            for name in PROPER
        }
        if told["ece"]["before"] is not None:
            temperature = _mean(scores.temperature for scores in runs)
            rows.append({"arm": arm, "budget": budget, "temperature": temperature, **told})
    return rows


def reliability(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns the reliability bins of each arm at its largest label budget, summed over seeds.

    Args:
      comparison: the runs.

    Returns:
      Rows of ``arm``, ``budget``, and ``before`` and ``after`` scaling the ``count``, mean ``confidence`` and
      ``accuracy`` of 15 bins of equal width (None in an empty bin); ``after`` is None where no run was scaled.
    """
    rows = []
    for arm, budget, runs in _largest(comparison):
        kept = [scores.details.get("reliability", {}) for scores in runs]
        row = {when: _bins([bins[when] for bins in kept if when in bins]) for when in ("before", "after")}
        if row["before"] is not None:
            rows.append({"arm": arm, "budget": budget, **row})
    return rows


def confusion(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns what each arm takes for what at its largest label budget, summed over seeds.

    Args:
      comparison: the runs.

    Returns:
      Rows of ``arm``, ``budget``, ``seeds`` (how many), ``classes`` (their names) and up to 20 classes ``counts``, a
      row per label and a column per prediction; beyond, ``pairs``, the ten most confused, and ``classes`` is None.
    """
    rows, names = [], _class_names(comparison)
    for arm, budget, runs in _largest(comparison):
        row = {"arm": arm, "budget": budget, "seeds": len(runs)}
        squares = [scores.details["confusion"] for scores in runs if "confusion" in scores.details]
        listed = [scores.details["confused"] for scores in runs if "confused" in scores.details]
        if squares:
            classes = [_name(names, place) for place in range(len(squares[0]))]
            rows.append(row | {"classes": classes, "counts": np.sum(squares, axis=0).tolist()})
        elif listed:
            rows.append(row | {"classes": None, "pairs": _most_confused(listed, names)})
    return rows


def _most_confused(listed: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
    total: dict[tuple[int, int], int] = {}
    for label, predicted, count in np.concatenate(listed).tolist():
        total[label, predicted] = total.get((label, predicted), 0) + count
    worst = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:MOST_PAIRS]
    return [{"label": _name(names, i), "predicted": _name(names, j), "count": count} for (i, j), count in worst]


def _class_names(comparison: Comparison) -> Sequence[str]:
    return [str(name) for name in comparison.runs[0].summary.get("classes") or ()] if comparison.runs else []


def _name(names: Sequence[str], place: int) -> str:
    return names[place] if place < len(names) else str(place)


def _cells(comparison: Comparison) -> Iterable[tuple[str, int, dict[int, Scores]]]:
    for arm in comparison.arms:
        for budget in comparison.budgets:
            if cell := comparison.cell(arm.name, budget):
                yield arm.name, budget, cell


def _largest(comparison: Comparison) -> list[tuple[str, int, list[Scores]]]:
    return list({arm: (arm, budget, list(cell.values())) for arm, budget, cell in _cells(comparison)}.values())


def _every_metric(runs: Iterable[Scores]) -> dict[str, Any]:
    runs = list(runs)
    names = dict.fromkeys(name for scores in runs for name in scores.values)
    return {name: _mean(scores.value(name) for scores in runs) for name in names}


def _mean(values: Iterable[float | None]) -> dict[str, Any] | None:
    told = [value for value in values if value is not None]
    if not told:
        return None
    estimate = mean_interval(np.array(told))
    return {"mean": estimate.mean, "interval": estimate.interval}


def _bins(kept: Sequence[np.ndarray]) -> dict[str, list] | None:
    if not kept:
        return None
    count, confidence, right = np.sum(kept, axis=0)
    held = np.maximum(count, 1)
    return {
        "count": count.astype(int).tolist(),
        "confidence": [value if n else None for value, n in zip((confidence / held).tolist(), count, strict=True)],
        "accuracy": [value if n else None for value, n in zip((right / held).tolist(), count, strict=True)],
    }
