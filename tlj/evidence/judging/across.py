"""Several comparisons together: does the answer hold across data sets (Agarwal et al. 2021, arXiv:2108.13264).

The aggregate is the interquartile mean of normalised scores over runs and tasks, which a single lucky run or easy data
set moves little. A task is a data set at a label budget. Intervals resample the seeds within each data set, whole, so
that what a seed does at all its nested label budgets stays together; the data sets themselves are not resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float64, Integer

from tlj.errors import InputError
from tlj.evidence.judging.normalised import normalised_scores, scale_of
from tlj.evidence.judging.statistics import CONFIDENCE
from tlj.evidence.runs import Arm, Comparison
from tlj.evidence.scores.judged import metric_of

RESAMPLES = 2000
TRIMMED = 0.25
THRESHOLDS = np.linspace(0.0, 1.0, 41)
TWIN = "twin"
EVERY, SMALLEST, LARGEST = "every budget", "smallest budget", "largest budget"


@dataclass(frozen=True)
class Stratum:
    """The runs of an arm and of its twin on one data set, paired by seed.

    Args:
      arm: normalised scores of the arm.
      twin: normalised scores of the twin, seed by seed and budget by budget.
    """

    arm: Float64[np.ndarray, "seed budget"]
    twin: Float64[np.ndarray, "seed budget"]

    def at(self, budgets: str) -> Stratum:
        """Returns the stratum at the named label budgets alone."""
        columns = {EVERY: slice(None), SMALLEST: slice(0, 1), LARGEST: slice(-1, None)}[budgets]
        return Stratum(self.arm[:, columns], self.twin[:, columns])


def across(comparisons: Sequence[Comparison], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Aggregates the arms that several comparisons share.

    Args:
      comparisons: finished or not, each of another data set; the arms keep their names from one to the next.
      resamples: of the stratified bootstrap.

    Returns:
      A JSON object: ``arms`` (names and roles, the twin as ``twin``), ``tasks`` (the data sets and their scales),
      ``scores`` (rows per arm and stretch of budgets, with ``iqm``, ``interval``, ``probability_of_improvement`` over
      the twin averaged over tasks, and ``improvement_interval``), ``profile`` (the share of runs above each threshold)
      and ``left_out`` (data sets that have no scale).

    Raises:
      InputError: there are fewer than two comparisons with a scale, or no arm besides the twin is in all of them.
    """
    scales = [scale_of(comparison) for comparison in comparisons]
    kept = [(comparison, scale) for comparison, scale in zip(comparisons, scales, strict=True) if scale is not None]
    arms = _shared_arms([comparison for comparison, _ in kept])
    if len(kept) < 2 or not arms:
        raise InputError(
            "fewer than two comparisons have a known chance level" if len(kept) < 2 else "no arm is in all comparisons",
            where=", ".join(str(comparison.directory) for comparison in comparisons),
            do="give comparisons of at least two data sets with the same arms, judged by a share or a loss of classes",
        )
    strata = {arm.name: _strata(kept, arm.name) for arm in arms}
    strata |= {TWIN: _strata(kept, None)}
    return {
        "arms": [*({"arm": a.name, "role": a.role} for a in arms), {"arm": TWIN, "role": "twin"}],
        "tasks": [_task(comparison, scale) for comparison, scale in kept],
        "left_out": [str(c.declared["task"]) for c, scale in zip(comparisons, scales, strict=True) if scale is None],
        "confidence": CONFIDENCE,
        "scores": [
            _row(arm, at, [stratum.at(at) for stratum in found], resamples)
            for arm, found in strata.items()
            for at in (EVERY, SMALLEST, LARGEST)
            if found
        ],
        "profile": {
            "thresholds": THRESHOLDS.tolist(),
            "arms": [{"arm": arm, "share": _profile(found)} for arm, found in strata.items() if found],
        },
    }


def _shared_arms(comparisons: Sequence[Comparison]) -> list[Arm]:
    if not comparisons:
        return []
    others = [{arm.name for arm in comparison.arms if arm.role != "twin"} for comparison in comparisons]
    return [arm for arm in comparisons[0].arms if all(arm.name in names for names in others)]


def _task(comparison: Comparison, scale) -> dict[str, Any]:
    return {
        "task": str(comparison.declared["task"]),
        "metric": metric_of(comparison).name,
        "twin": comparison.twin,
        "chance": scale.chance,
        "ceiling": scale.ceiling,
        "budgets": list(comparison.budgets),
        "seeds": list(comparison.seeds),
    }


def _strata(kept: Sequence[tuple[Comparison, Any]], arm: str | None) -> list[Stratum]:
    """Returns an arm's stratum of every comparison in which a seed has finished; of the twin itself for None."""
    strata = []
    for comparison, scale in kept:
        own, lines = normalised_scores(comparison, arm or comparison.twin, scale)
        budgets, twin = normalised_scores(comparison, comparison.twin, scale)
        seeds, both = sorted(set(lines) & set(twin)), [budget for budget in own if budget in budgets]
        if seeds and both:
            mine, of_twin = ([known.index(budget) for budget in both] for known in (own, budgets))
            strata.append(
                Stratum(np.stack([lines[s][mine] for s in seeds]), np.stack([twin[s][of_twin] for s in seeds]))
            )
    return strata


def _row(arm: str, at: str, strata: Sequence[Stratum], resamples: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    picks = [rng.integers(0, len(s.arm), (resamples, len(s.arm))) for s in strata]
    enough = all(len(stratum.arm) > 1 for stratum in strata)
    row = {
        "arm": arm,
        "at": at,
        "runs": sum(stratum.arm.size for stratum in strata),
        "tasks": sum(stratum.arm.shape[1] for stratum in strata),
        "iqm": float(iqm([stratum.arm for stratum in strata])),
        "interval": _interval(iqm([s.arm[pick] for s, pick in zip(strata, picks, strict=True)])) if enough else None,
        "probability_of_improvement": None,
        "improvement_interval": None,
    }
    if arm != TWIN:
        row["probability_of_improvement"] = float(
            _improvement(strata, [np.arange(len(s.arm))[None] for s in strata])[0]
        )
        row["improvement_interval"] = _interval(_improvement(strata, picks)) if enough else None
    return row


def iqm(scores: Sequence[Float64[np.ndarray, "*batch seed budget"]]) -> Float64[np.ndarray, "*batch"]:
    """Returns the interquartile mean over all runs: the mean without the lowest and the highest quarter.

    Args:
      scores: per data set, the score of every seed at every label budget.
    """
    flat = np.concatenate([s.reshape(*s.shape[:-2], -1) for s in scores], axis=-1)
    return scipy.stats.trim_mean(flat, TRIMMED, axis=-1)


def _improvement(
    strata: Sequence[Stratum], picks: Sequence[Integer[np.ndarray, "resample seed"]]
) -> Float64[np.ndarray, " resample"]:
    """Returns P(arm > twin) averaged over tasks, per resample; ties count one half."""
    tasks = []
    for stratum, pick in zip(strata, picks, strict=True):
        for column in range(stratum.arm.shape[1]):
            arm, twin = stratum.arm[:, column], stratum.twin[:, column]
            better = (arm[:, None] > twin[None]) + 0.5 * (arm[:, None] == twin[None])
            tasks.append(better[pick[:, :, None], pick[:, None, :]].mean((1, 2)))
    return np.mean(tasks, axis=0)


def _profile(strata: Sequence[Stratum]) -> list[float]:
    runs = np.concatenate([stratum.arm.ravel() for stratum in strata])
    return (runs[None] > THRESHOLDS[:, None]).mean(1).tolist()


def _interval(values: Float64[np.ndarray, " resample"]) -> list[float]:
    return np.quantile(values, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]).tolist()
