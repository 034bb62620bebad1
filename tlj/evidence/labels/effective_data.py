"""Effective data transferred: how many labels training from scratch would need to reach an arm's result.

The estimator follows Hernandez et al. 2021 (Scaling laws for transfer): invert the learning curve of the twin. It
never extrapolates: a result outside the measured curve is censored, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Integer

from tlj.evidence.labels.label_curve import ABOVE, BELOW, INSIDE, condition_number, labels_to_reach, monotone
from tlj.evidence.labels.resampling import (
    RESAMPLES,
    Cell,
    Losses,
    Pools,
    cells_of,
    resampled_means,
    residual_pools,
)

WORD = {BELOW: "below", INSIDE: None, ABOVE: "above"}
# A result worth a factor of two in labels is the coarsest that still says something.
LARGEST_LOG_ERROR = math.log(2.0)
LARGEST_SHIFT = 2.0


@dataclass(frozen=True)
class ScratchCurve:
    """The twin's learning curve that effective data are read from.

    Args:
      measure: ``nll`` or ``error``.
      budgets: the label budgets, smallest first.
      loss: the geometric mean over seeds at each budget.
      monotone_loss: the same after isotonic regression.
      largest_shift: how far isotonic regression moved any point, in standard errors; None with one seed.
      pooling: ``all`` where residuals are pooled over arms and budgets, ``arm`` where the arms spread differently.
    """

    measure: str
    budgets: tuple[int, ...]
    loss: tuple[float, ...]
    monotone_loss: tuple[float, ...]
    largest_shift: float | None
    pooling: str

    @property
    def warning(self) -> bool:
        """Whether isotonic regression moved a point by more than two standard errors."""
        return self.largest_shift is not None and self.largest_shift > LARGEST_SHIFT

    def to_json(self) -> dict[str, Any]:
        """Returns the curve as it stands in ``summary.json``."""
        return {
            "measure": self.measure,
            "budgets": list(self.budgets),
            "loss": list(self.loss),
            "monotone_loss": list(self.monotone_loss),
            "largest_shift_in_standard_errors": self.largest_shift,
            "warning": self.warning,
            "pooling": self.pooling,
        }


@dataclass(frozen=True)
class EffectiveData:
    """How many labels the twin needs to reach what an arm reaches with ``budget`` labels.

    Args:
      arm: the arm.
      budget: its labels.
      measure: ``nll`` or ``error``.
      effective_labels: the labels that the twin needs; a bound where censored.
      censored: ``above`` (at least so many), ``below`` (at most so many), or None.
      interval: a 95 % interval in labels, its ends held inside the curve; None with one seed.
      interval_censored: for each end of the interval what ``censored`` is for the estimate.
      condition: ``|d log labels / d log loss|`` there; None where censored or on a flat stretch.
      flagged: whether an error of one standard error in the loss carries further than a factor of two in labels.
    """

    arm: str
    budget: int
    measure: str
    effective_labels: float
    censored: str | None
    interval: tuple[float, float] | None
    interval_censored: tuple[str | None, str | None]
    condition: float | None
    flagged: bool

    @property
    def multiplier(self) -> float:
        """Effective labels per label."""
        return self.effective_labels / self.budget

    def to_json(self) -> dict[str, Any]:
        """Returns the row as it stands in ``summary.json``."""
        interval = None if self.interval is None else list(self.interval)
        return {
            "arm": self.arm,
            "budget": self.budget,
            "measure": self.measure,
            "effective_labels": self.effective_labels,
            "multiplier": self.multiplier,
            "interval": interval,
            "multiplier_interval": None if interval is None else [end / self.budget for end in interval],
            "interval_censored": list(self.interval_censored),
            "censored": self.censored,
            "condition": self.condition,
            "flagged": self.flagged,
        }


@dataclass(frozen=True)
class Inversion:
    """The twin's curve, what every other arm is worth by it, and the same for every resample.

    Args:
      curve: the twin's curve.
      rows: the effective data of every arm but the twin, at every budget.
      log_labels: the log of the effective labels, per resample and row; None with one seed.
      censored: ``BELOW``, ``INSIDE`` or ``ABOVE`` for each of them.
    """

    curve: ScratchCurve
    rows: tuple[EffectiveData, ...]
    log_labels: Float64[np.ndarray, "resample row"] | None
    censored: Integer[np.ndarray, "resample row"] | None


def effective_data(
    twin: str, losses: Mapping[str, Losses], measure: str, resamples: int = RESAMPLES
) -> tuple[ScratchCurve | None, list[EffectiveData]]:
    """Estimates the effective data of every arm but the twin, at every budget.

    Args:
      twin: the arm whose curve is inverted.
      losses: as for ``invert``.
      measure: the name of the loss, ``nll`` or ``error``.
      resamples: the number of bootstrap resamples.

    Returns:
      The twin's curve and the rows; None and no rows where the twin has no finished run.
    """
    inversion = invert(twin, losses, measure, resamples)
    return (None, []) if inversion is None else (inversion.curve, list(inversion.rows))


def invert(twin: str, losses: Mapping[str, Losses], measure: str, resamples: int = RESAMPLES) -> Inversion | None:
    """Reads off the twin's curve how many labels it needs for what every other arm reaches.

    Log losses are averaged over seeds, the twin's curve is made monotone and inverted. Intervals come from resampled
    curves, ``resampled_means``.

    Args:
      twin: the arm whose curve is inverted.
      losses: ``{arm: {budget: positive losses, by seed or as a list}}``; cells may be absent, infinite losses are left
        out.
      measure: the name of the loss, ``nll`` or ``error``.
      resamples: the number of bootstrap resamples.

    Returns:
      The estimates and their resamples, or None where the twin has no finished run.
    """
    cells = cells_of(losses)
    curve_cells = [cell for cell in cells if cell.arm == twin]
    arm_cells = [cell for cell in cells if cell.arm != twin]
    if not curve_cells:
        return None
    pools, pooling = residual_pools(cells)
    log_labels = np.log([cell.budget for cell in curve_cells])
    weights = np.array([len(cell.seeds) for cell in curve_cells], np.float64)
    fitted = monotone(np.array([cell.mean for cell in curve_cells]), weights)
    curve = _scratch_curve(measure, curve_cells, fitted, pools, pooling)

    draws = resampled_means(curve_cells + arm_cells, twin, pooling, resamples)
    points: tuple = (None, None)
    if draws is not None:
        curves = monotone(draws[:, : len(curve_cells)], weights)
        points = labels_to_reach(draws[:, len(curve_cells) :], curves, log_labels)
    rows = [
        _row(cell, measure, fitted, log_labels, pools, None if draws is None else (points[0][:, i], points[1][:, i]))
        for i, cell in enumerate(arm_cells)
    ]
    return Inversion(curve, tuple(rows), *points)


def _scratch_curve(
    measure: str, cells: Sequence[Cell], fitted: Float64[np.ndarray, " budget"], pools: Pools, pooling: str
) -> ScratchCurve:
    errors = np.array([_standard_error(cell, pools) or math.nan for cell in cells])
    shifts = np.abs(fitted - np.array([cell.mean for cell in cells])) / errors
    return ScratchCurve(
        measure=measure,
        budgets=tuple(cell.budget for cell in cells),
        loss=tuple(float(math.exp(cell.mean)) for cell in cells),
        monotone_loss=tuple(float(value) for value in np.exp(fitted)),
        largest_shift=None if np.isnan(shifts).any() else float(shifts.max()),
        pooling=pooling,
    )


def _standard_error(cell: Cell, pools: Pools) -> float | None:
    pool = pools[cell.arm]
    return float(np.sqrt(np.mean(pool**2) / len(cell.seeds))) if pool.size else None


def _row(cell: Cell, measure: str, fitted, log_labels, pools, points) -> EffectiveData:
    labels, censored = labels_to_reach(np.array([cell.mean]), fitted, log_labels)
    condition = None if censored[0] else condition_number(cell.mean, fitted, log_labels)
    error = _standard_error(cell, pools)
    untold = condition is None or error is None or condition * error > LARGEST_LOG_ERROR
    interval, interval_censored = _interval(*points) if points is not None else (None, (None, None))
    return EffectiveData(
        arm=cell.arm,
        budget=cell.budget,
        measure=measure,
        effective_labels=_labels(labels[0]),
        censored=WORD[int(censored[0])],
        interval=interval,
        interval_censored=interval_censored,
        condition=condition,
        flagged=bool(not censored[0] and untold),
    )


def _labels(log_labels: float) -> float:
    # The exponential of a logarithm is a few last bits off the budget that it came from.
    return float(f"{math.exp(log_labels):.12g}")


def _interval(
    log_labels: Float64[np.ndarray, " resample"], censored: np.ndarray
) -> tuple[tuple[float, float], tuple[str | None, str | None]]:
    # Order statistics, because a mean of a censored and an uncensored resample has no meaning.
    order = np.lexsort((censored, log_labels))
    picked = [order[max(math.ceil(q * order.size) - 1, 0)] for q in (0.025, 0.975)]
    low, high = (_labels(log_labels[i]) for i in picked)
    return (low, high), (WORD[int(censored[picked[0]])], WORD[int(censored[picked[1]])])
