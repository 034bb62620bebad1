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
import scipy.stats
from jaxtyping import Float64

from tlj.evidence.labels.label_curve import ABOVE, BELOW, INSIDE, condition_number, labels_to_reach, monotone

RESAMPLES = 2000
RESAMPLING_SEED = 0
WORD = {BELOW: "below", INSIDE: None, ABOVE: "above"}
# A result worth a factor of two in labels is the coarsest that still says something.
LARGEST_LOG_ERROR = math.log(2.0)
LARGEST_SHIFT = 2.0

Losses = Mapping[int, Sequence[float]]


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
class _Cell:
    arm: str
    budget: int
    log_losses: Float64[np.ndarray, " seed"]

    @property
    def mean(self) -> float:
        return float(self.log_losses.mean())

    @property
    def residuals(self) -> Float64[np.ndarray, " seed"]:
        # Deviations from a mean of S values are too small by (S-1)/S in variance.
        seeds = self.log_losses.size
        return (self.log_losses - self.mean) * math.sqrt(seeds / (seeds - 1)) if seeds > 1 else np.zeros(0)


def effective_data(
    twin: str, losses: Mapping[str, Losses], measure: str, resamples: int = RESAMPLES
) -> tuple[ScratchCurve | None, list[EffectiveData]]:
    """Estimates the effective data of every arm but the twin, at every budget.

    Log losses are averaged over seeds, the twin's curve is made monotone and inverted. Intervals come from a bootstrap
    of residuals pooled over budgets and arms (within an arm where the arms spread differently), scaled by
    ``sqrt(S/(S-1))``, from a fixed seed.

    Args:
      twin: the arm whose curve is inverted.
      losses: ``{arm: {budget: a positive loss per seed}}``; cells may be absent, infinite losses are left out.
      measure: the name of the loss, ``nll`` or ``error``.
      resamples: the number of bootstrap resamples.

    Returns:
      The twin's curve and the rows; None and no rows where the twin has no finished run.
    """
    cells = _cells(losses)
    curve_cells = [cell for cell in cells if cell.arm == twin]
    arm_cells = [cell for cell in cells if cell.arm != twin]
    if not curve_cells:
        return None, []
    pools, pooling = _residual_pools(cells)
    log_labels = np.log([cell.budget for cell in curve_cells])
    weights = np.array([cell.log_losses.size for cell in curve_cells], np.float64)
    raw = np.array([cell.mean for cell in curve_cells])
    fitted = monotone(raw, weights)
    curve = _scratch_curve(measure, curve_cells, fitted, pools, pooling)

    draws = _resampled_means(curve_cells + arm_cells, pools, resamples)
    points = None
    if draws is not None:
        curves = monotone(draws[:, : len(curve_cells)], weights)
        points = labels_to_reach(draws[:, len(curve_cells) :], curves, log_labels)
    rows = [
        _row(cell, measure, fitted, log_labels, pools, None if points is None else (points[0][:, i], points[1][:, i]))
        for i, cell in enumerate(arm_cells)
    ]
    return curve, rows


def _cells(losses: Mapping[str, Losses]) -> list[_Cell]:
    cells = []
    for arm, by_budget in losses.items():
        for budget, values in sorted(by_budget.items()):
            finite = np.array([value for value in values if math.isfinite(value)], np.float64)
            if finite.size:
                # A loss can underflow to zero when every example is right by a huge margin.
                cells.append(_Cell(arm, budget, np.log(np.maximum(finite, np.finfo(np.float64).tiny))))
    return cells


def _residual_pools(cells: Sequence[_Cell]) -> tuple[dict[str, Float64[np.ndarray, " residual"]], str]:
    by_arm: dict[str, list[np.ndarray]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(cell.residuals)
    pools = {arm: np.concatenate(parts) for arm, parts in by_arm.items()}
    testable = [pool for pool in pools.values() if pool.size > 2 and np.ptp(pool) > 0]
    # Brown-Forsythe: one pool for all arms only where their spreads do not differ.
    if len(testable) > 1 and scipy.stats.levene(*testable, center="median").pvalue < 0.05:
        return pools, "arm"
    everything = np.concatenate(list(pools.values()))
    return dict.fromkeys(pools, everything), "all"


def _scratch_curve(
    measure: str, cells: Sequence[_Cell], fitted: Float64[np.ndarray, " budget"], pools: Mapping, pooling: str
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


def _standard_error(cell: _Cell, pools: Mapping[str, np.ndarray]) -> float | None:
    pool = pools[cell.arm]
    return float(np.sqrt(np.mean(pool**2) / cell.log_losses.size)) if pool.size else None


def _resampled_means(
    cells: Sequence[_Cell], pools: Mapping[str, np.ndarray], resamples: int
) -> Float64[np.ndarray, "resample cell"] | None:
    if any(pools[cell.arm].size == 0 for cell in cells):
        return None
    rng = np.random.default_rng(RESAMPLING_SEED)
    means = [cell.mean + rng.choice(pools[cell.arm], (resamples, cell.log_losses.size)).mean(1) for cell in cells]
    return np.stack(means, axis=1)


def _row(cell: _Cell, measure: str, fitted, log_labels, pools, points) -> EffectiveData:
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
