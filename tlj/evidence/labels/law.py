"""The law of effective data, ``D_T = k D_F^alpha``: how the labels that transfer saves grow with the labels there are.

Hernandez et al. 2021 (Scaling laws for transfer, arXiv:2102.01293). With one model size, k and alpha are all that can
be fitted; alpha falls as source and target come closer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from tlj.evidence.labels.effective_data import EffectiveData, Inversion

LOW_DATA = 0.1
FEWEST_POINTS = 3


@dataclass(frozen=True)
class Law:
    """The fit of an arm.

    Args:
      arm: the arm.
      measure: the loss that its effective data are read by.
      points: the label budgets that were fitted.
      dropped: how many budgets were left out, by reason; each budget counts once, under the first that holds.
      low_data_limit: the largest budget that counts as little data, or None where it is not known.
      k: the factor, in labels; None with fewer than three points.
      alpha: the exponent; None with fewer than three points.
      k_interval: a 95 % interval; None with one seed.
      alpha_interval: a 95 % interval; None with one seed.
    """

    arm: str
    measure: str
    points: tuple[int, ...]
    dropped: dict[str, int]
    low_data_limit: float | None
    k: float | None
    alpha: float | None
    k_interval: tuple[float, float] | None
    alpha_interval: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Returns the fit as it stands in ``summary.json``."""
        return {
            "arm": self.arm,
            "measure": self.measure,
            "points": list(self.points),
            "dropped": dict(self.dropped),
            "low_data_limit": self.low_data_limit,
            "k": self.k,
            "alpha": self.alpha,
            "k_interval": None if self.k_interval is None else list(self.k_interval),
            "alpha_interval": None if self.alpha_interval is None else list(self.alpha_interval),
        }


def transferred_labels(labels: float, k: float, alpha: float, parameters: float = 1.0, beta: float = 0.0) -> float:
    """Returns ``D_T = k D_F^alpha N^beta``, the labels that transfer is worth beyond those there are.

    Args:
      labels: D_F.
      k: the factor, in units of data.
      alpha: the exponent of the labels.
      parameters: N.
      beta: the exponent of the parameters.
    """
    return k * labels**alpha * parameters**beta


def transferred_share(labels: float, k: float, alpha: float, parameters: float = 1.0, beta: float = 0.0) -> float:
    """Returns ``D_T / (D_F + D_T)``, whose logit is linear in log labels and log parameters.

    Args:
      labels: D_F.
      k: the factor, in units of data.
      alpha: the exponent of the labels.
      parameters: N.
      beta: the exponent of the parameters.
    """
    odds = k * labels ** (alpha - 1.0) * parameters**beta
    return odds / (1.0 + odds)


def fit_laws(inversion: Inversion, full_data: float | None = None) -> list[Law]:
    """Fits the law for every arm, by least squares of log D_T on log D_F.

    Only points that the law speaks of are fitted: inside the twin's curve, with labels saved, and with little data.
    The interval refits every resample on the points of the estimate; a resample that leaves fewer than two of them
    with labels saved is passed over.

    Args:
      inversion: effective data with their resamples.
      full_data: D(N), the labels that bring the twin to 99 % of what unlimited data would; little data is a tenth of
        it. None where it is not known: then no point is dropped for it.

    Returns:
      A fit per arm, in the order of the rows.
    """
    limit = None if full_data is None else LOW_DATA * full_data
    fits = []
    for arm in dict.fromkeys(row.arm for row in inversion.rows):
        places = [i for i, row in enumerate(inversion.rows) if row.arm == arm]
        dropped = {"censored": 0, "no_labels_saved": 0, "not_little_data": 0}
        used = []
        for i in places:
            reason = _reason(inversion.rows[i], limit)
            if reason is None:
                used.append(i)
            else:
                dropped[reason] += 1
        fits.append(_law(inversion, arm, used, dropped, limit))
    return fits


def _reason(row: EffectiveData, limit: float | None) -> str | None:
    if row.censored is not None:
        return "censored"
    if row.effective_labels <= row.budget:
        return "no_labels_saved"
    return "not_little_data" if limit is not None and row.budget > limit else None


def _law(inversion: Inversion, arm: str, used: list[int], dropped: dict[str, int], limit: float | None) -> Law:
    budgets = tuple(inversion.rows[i].budget for i in used)
    known = Law(arm, inversion.curve.measure, budgets, dropped, limit, None, None, None, None)
    if len(used) < FEWEST_POINTS:
        return known
    log_budgets = np.log(budgets)
    effective = np.log([inversion.rows[i].effective_labels for i in used])
    saved, _ = _log_saved(effective[None], log_budgets)
    (log_k,), (alpha,) = least_squares_lines(log_budgets, saved, np.ones_like(saved, bool))
    k_interval = alpha_interval = None
    if inversion.log_labels is not None:
        saved, valid = _log_saved(inversion.log_labels[:, used], log_budgets)
        valid &= inversion.censored[:, used] == 0
        enough = valid.sum(1) >= 2
        if enough.mean() >= 0.5:
            log_ks, alphas = least_squares_lines(log_budgets, saved[enough], valid[enough])
            alpha_interval = _percentiles(alphas)
            k_interval = tuple(math.exp(min(end, 700.0)) for end in _percentiles(log_ks))
    return Law(
        arm, inversion.curve.measure, budgets, dropped, limit, math.exp(log_k), float(alpha), k_interval, alpha_interval
    )


def _log_saved(
    log_effective: Float64[np.ndarray, "fit point"], log_budgets: Float64[np.ndarray, " point"]
) -> tuple[Float64[np.ndarray, "fit point"], Bool[np.ndarray, "fit point"]]:
    # log(D_E - D_F) = log D_F + log(D_E / D_F - 1)
    ratio = np.expm1(log_effective - log_budgets)
    valid = ratio > 0
    return log_budgets + np.log(np.where(valid, ratio, 1.0)), valid


def least_squares_lines(
    x: Float64[np.ndarray, " point"], y: Float64[np.ndarray, "fit point"], valid: Bool[np.ndarray, "fit point"]
) -> tuple[Float64[np.ndarray, " fit"], Float64[np.ndarray, " fit"]]:
    """Returns the intercept and the slope of every row of ``y`` over ``x``, using its valid points alone."""
    weight = valid.astype(np.float64)
    total = weight.sum(1, keepdims=True)
    x_mean, y_mean = (weight * x).sum(1, keepdims=True) / total, (weight * y).sum(1, keepdims=True) / total
    x_off, y_off = x - x_mean, y - y_mean
    slope = (weight * x_off * y_off).sum(1) / (weight * x_off**2).sum(1)
    return y_mean[:, 0] - slope * x_mean[:, 0], slope


def _percentiles(values: Float64[np.ndarray, " resample"]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
