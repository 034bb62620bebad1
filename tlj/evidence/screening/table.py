"""The screening table: what scores of features said before training, beside what training gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlj.evidence.predictions import CLASSES, kind_of
from tlj.evidence.runs import Comparison
from tlj.evidence.screening.agreement import ranking_agreement
from tlj.evidence.screening.files import FeatureFile, ScreeningFiles, read_drift, read_screening
from tlj.evidence.screening.h_score import h_score
from tlj.evidence.screening.logme import logme
from tlj.evidence.screening.neighbours import neighbour_accuracy, neighbour_count
from tlj.evidence.screening.probe import probe_accuracy, proxy_a_distance
from tlj.metric_names import lower_is_better

SCORES = {"neighbours": neighbour_accuracy, "probe": probe_accuracy, "logme": logme, "h_score": h_score}
Cells = Sequence[Mapping[str, Any]]


def screening(comparison: Comparison, cells: Cells) -> dict[str, Any] | None:
    """Computes the scores of each init, the distance from the source data, and the drift.

    Args:
      comparison: the runs, for its directory and its arms.
      cells: ``summary["cells"]``, whose means the scores are held against.

    Returns:
      ``inits`` [{init, width, problem, neighbours, probe, logme, h_score, result}], ``agreement`` (weighted Kendall tau
      of each score), ``source`` (proxy A-distance), ``drift`` (``drift.json`` but for its hash), what is ``missing``,
      and how many examples there were; None where nothing was screened.

    Raises:
      InputError: a file is damaged.
    """
    files, drift = read_screening(comparison.directory), read_drift(comparison.directory)
    if files is None and drift is None:
        return None
    measured = drift and {key: value for key, value in drift.items() if key != "hash"}
    if files is None or not files.inits:
        missing = list(files.missing) if files else []
        return {"inits": [], "agreement": None, "source": None, "missing": missing, "drift": measured}
    results = _results(comparison, cells, list(files.inits))
    rows = [{"init": init, **_scores(file), "result": results[init]} for init, file in files.inits.items()]
    labels = next(iter(files.inits.values())).labels
    facts = {key: files.told.get(key) for key in ("data", "pool", "seed")}
    return {
        **facts,
        "examples": len(labels),
        "neighbour_count": neighbour_count(len(labels), len(np.unique(labels))) if _are_classes(labels) else None,
        "majority": float(np.unique(labels, return_counts=True)[1].max() / len(labels))
        if _are_classes(labels)
        else None,
        "inits": rows,
        "agreement": _agreement(comparison, rows),
        "source": _source(files),
        "missing": list(files.missing),
        "drift": measured,
    }


def _are_classes(labels: np.ndarray) -> bool:
    return kind_of(labels) == CLASSES


def _scores(file: FeatureFile) -> dict[str, Any]:
    problem = ""
    if not np.isfinite(file.features).all():
        problem = "features that are not finite"
    elif not _are_classes(file.labels):
        problem = "labels that are no classes"
    elif len(np.unique(file.labels)) < 2:
        problem = "examples of one class"
    scores = {name: None if problem else score(file.features, file.labels) for name, score in SCORES.items()}
    return {"width": file.features.shape[1], "problem": problem, **scores}


def _results(comparison: Comparison, cells: Cells, inits: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """The best arm of each init, at the largest label budget that all of them have results at."""
    init_of, sign = {arm.name: arm.init for arm in comparison.arms}, _sign(comparison)
    for budget in reversed(comparison.budgets):
        best: dict[str, Mapping[str, Any]] = {}
        for cell in cells:
            init = init_of.get(cell["arm"])
            better = init not in best or sign * cell["mean"] > sign * best[init]["mean"]
            if cell["budget"] == budget and cell["mean"] is not None and better:
                best[init] = cell
        if set(inits) <= set(best):
            return {init: {key: best[init][key] for key in ("arm", "budget", "mean")} for init in inits}
    return dict.fromkeys(inits)


def _sign(comparison: Comparison) -> int:
    return -1 if lower_is_better(comparison.declared["metric"]) else 1


def _agreement(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    results = [row["result"] and _sign(comparison) * row["result"]["mean"] for row in rows]
    return {name: ranking_agreement([row[name] for row in rows], results) for name in SCORES}


def _source(files: ScreeningFiles) -> dict[str, Any] | None:
    target, source = files.inits.get("pretrained"), files.source
    if target is None or source is None or target.features.shape[1] != source.features.shape[1]:
        return None
    if not (np.isfinite(target.features).all() and np.isfinite(source.features).all()):
        return None
    found = proxy_a_distance(source.features, target.features)
    data = (files.told.get("source") or {}).get("data")
    return found and {"data": data, "examples": len(source.features), "distance": found[0], "error": found[1]}
