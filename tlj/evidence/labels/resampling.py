"""Resampled learning curves: what the mean log losses of all arms and budgets might have been with other seeds.

Residuals are pooled over budgets and arms, because three runs of one cell say little about their own spread. What a
seed does to a whole curve is kept apart: label budgets are nested, so a seed that draws lucky examples is lucky at
every budget, and no pooling over budgets averages that away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float64

RESAMPLES = 2000
RESAMPLING_SEED = 0

# The losses of a cell: by seed, or a list whose place is the seed.
Losses = Mapping[int, Sequence[float] | Mapping[int, float]]
Pools = Mapping[str, Float64[np.ndarray, " residual"]]


@dataclass(frozen=True)
class Cell:
    """The log losses of an arm at a label budget, seed by seed."""

    arm: str
    budget: int
    seeds: tuple[int, ...]
    log_losses: Float64[np.ndarray, " seed"]

    @property
    def mean(self) -> float:
        """The mean log loss: the log of the geometric mean."""
        return float(self.log_losses.mean())

    @property
    def deviations(self) -> Float64[np.ndarray, " seed"]:
        """Deviations from the mean of the cell; none with one seed."""
        return self.log_losses - self.mean if len(self.seeds) > 1 else np.zeros(0)

    @property
    def residuals(self) -> Float64[np.ndarray, " seed"]:
        """Deviations scaled by ``sqrt(S/(S-1))``: those from a mean of S values are too small by that."""
        seeds = len(self.seeds)
        return self.deviations * math.sqrt(seeds / (seeds - 1)) if seeds > 1 else np.zeros(0)


def cells_of(losses: Mapping[str, Losses]) -> list[Cell]:
    """Returns the cells that have a finite loss, by arm and rising budget.

    Args:
      losses: ``{arm: {budget: positive losses}}``, by seed or as a list; infinite ones are left out.
    """
    cells = []
    for arm, by_budget in losses.items():
        for budget, values in sorted(by_budget.items()):
            by_seed = values if isinstance(values, Mapping) else dict(enumerate(values))
            finite = {seed: value for seed, value in by_seed.items() if math.isfinite(value)}
            if finite:
                # A loss can underflow to zero when every example is right by a huge margin.
                logs = np.log(np.maximum(np.array(list(finite.values())), np.finfo(np.float64).tiny))
                cells.append(Cell(arm, budget, tuple(finite), logs))
    return cells


def residual_pools(cells: Sequence[Cell]) -> tuple[Pools, str]:
    """Returns each arm's residuals, pooled over budgets, and over arms too where the arms spread alike.

    Returns:
      ``{arm: residuals}`` and ``all``, or ``arm`` where a Brown-Forsythe test tells the arms' spreads apart at 0.05.
    """
    by_arm: dict[str, list[np.ndarray]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(cell.residuals)
    pools = {arm: np.concatenate(parts) for arm, parts in by_arm.items()}
    testable = [pool for pool in pools.values() if pool.size > 2 and np.ptp(pool) > 0]
    if len(testable) > 1 and scipy.stats.levene(*testable, center="median").pvalue < 0.05:
        return pools, "arm"
    return dict.fromkeys(pools, np.concatenate(list(pools.values()))), "all"


def resampled_means(
    cells: Sequence[Cell], twin: str, pooling: str, resamples: int
) -> Float64[np.ndarray, "resample cell"] | None:
    """Draws the mean log loss of every cell anew, from a fixed seed.

    Each cell gets the mean of as many residuals as it has seeds, drawn from the pool of what is left when a seed's
    effect on its whole arm is taken out. Each arm but the twin gets the seed effect in which it differs from the twin
    (a shift of both moves no label), normal with the variance that is in excess of what the residuals explain, and
    with the heavier tails of t with S-1 degrees of freedom, because S seeds are all that it is estimated from.

    Args:
      cells: the cells, of the twin and of others.
      twin: the arm that the others are measured by.
      pooling: ``all`` or ``arm``, from ``residual_pools``.
      resamples: how many.

    Returns:
      The draws, or None where an arm has no residuals (one seed).
    """
    effects, within = _split(cells)
    if pooling == "all":
        within = dict.fromkeys(within, np.concatenate(list(within.values())))
    if any(within[cell.arm].size == 0 for cell in cells):
        return None
    rng = np.random.default_rng(RESAMPLING_SEED)
    draws = [cell.mean + rng.choice(within[cell.arm], (resamples, len(cell.seeds))).mean(1) for cell in cells]
    means = np.stack(draws, axis=1)
    for arm in dict.fromkeys(cell.arm for cell in cells if cell.arm != twin):
        deviation, seeds = _differing_seed_effect(effects[arm], effects[twin], within[arm], within[twin])
        if deviation > 0:
            shift = deviation / math.sqrt(seeds) * rng.standard_t(seeds - 1, resamples)
            means[:, [cell.arm == arm for cell in cells]] += shift[:, None]
    return means


@dataclass(frozen=True)
class _SeedEffects:
    """What each seed does to an arm on average over its budgets, and over how many; empty with one budget."""

    mean: Mapping[int, float]
    budgets: Mapping[int, int]


def _split(cells: Sequence[Cell]) -> tuple[dict[str, _SeedEffects], dict[str, Float64[np.ndarray, " residual"]]]:
    """Splits every arm's deviations into seed effects and what is left, the latter scaled to an unbiased variance."""
    effects, within = {}, {}
    for arm in dict.fromkeys(cell.arm for cell in cells):
        mine = [cell for cell in cells if cell.arm == arm and len(cell.seeds) > 1]
        by_seed: dict[int, list[float]] = {}
        for cell in mine:
            for seed, deviation in zip(cell.seeds, cell.deviations, strict=True):
                by_seed.setdefault(seed, []).append(float(deviation))
        freedom = sum(len(cell.seeds) - 1 for cell in mine) - (len(by_seed) - 1)
        # One budget cannot tell a seed from its noise: then all of it is noise.
        if freedom > 0:
            effects[arm] = _SeedEffects(
                {s: float(np.mean(d)) for s, d in by_seed.items()}, {s: len(d) for s, d in by_seed.items()}
            )
            left = np.array([d - effects[arm].mean[s] for s, parts in by_seed.items() for d in parts])
            within[arm] = left * math.sqrt(left.size / freedom)
        else:
            effects[arm] = _SeedEffects({}, {})
            within[arm] = np.concatenate([cell.residuals for cell in mine]) if mine else np.zeros(0)
    return effects, within


def _differing_seed_effect(
    arm: _SeedEffects, twin: _SeedEffects, arm_noise: np.ndarray, twin_noise: np.ndarray
) -> tuple[float, int]:
    """Returns the standard deviation over seeds in which an arm's curve moves against the twin's, and the seeds."""
    shared = [seed for seed in arm.mean if seed in twin.mean]
    if len(shared) < 2:
        return 0.0, len(shared)
    differences = np.array([arm.mean[seed] - twin.mean[seed] for seed in shared])
    explained = np.mean(arm_noise**2) * np.mean([1 / arm.budgets[seed] for seed in shared])
    explained += np.mean(twin_noise**2) * np.mean([1 / twin.budgets[seed] for seed in shared])
    return math.sqrt(max(float(differences.var(ddof=1)) - float(explained), 0.0)), len(shared)
