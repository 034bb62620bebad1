"""What a learning-rate range test found, as text: the curve, the rates that it suggests, and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

WIDTH, HEIGHT = 64, 12
_KEY = "config.optimizer.learning_rate"


def format_rates(found: Mapping[str, Any]) -> str:
    """Returns what ``find_rate`` found as text.

    Args:
      found: as it returned it.
    """
    taken, groups = len(found["rates"]), found["groups"]
    factors = ", ".join(f"{name} {factor:g}" for name, factor in groups.items())
    lines = [
        f"strategy {found['strategy']}, batch {found['global_batch_size']}: {taken} of {found['steps']} steps, rates "
        f"{found['lowest']:.2g} to {found['highest']:.2g}" + (", then the loss diverged" if found["diverged"] else ""),
        f"factor on the rate of each group: {factors}",
        *_plot(found),
    ]
    for what, rate in (("steepest descent", "steepest"), ("a tenth of the minimum's", "tenth")):
        if (value := found["suggestion"][rate]) is not None:
            lines.append(f"{what}: --{_KEY}={value:.2g}")
    return "\n".join([*lines, *(f"not sound: {lack}" for lack in found["shortcomings"])])


def _plot(found: Mapping[str, Any]) -> list[str]:
    """The smoothed loss over the logarithm of the rate; the suggested rates are marked below it."""
    losses, places = np.array(found["smoothed"]), np.log(found["smoothed_rates"])
    if len(losses) < 2:
        return []
    # What lies above the first loss by as much as the lowest lies below it is divergence, and would flatten the rest.
    lowest = losses.min()
    top = min(losses.max(), losses[0] + max(losses[0] - lowest, 0.1 * abs(losses[0])))
    low, high = math.log(found["lowest"]), math.log(found["highest"])
    canvas = np.full((HEIGHT, WIDTH), " ")
    columns = np.rint((places - low) / (high - low) * (WIDTH - 1)).astype(int).clip(0, WIDTH - 1)
    heights = (losses.clip(lowest, top) - lowest) / ((top - lowest) or 1.0)
    canvas[HEIGHT - 1 - np.rint(heights * (HEIGHT - 1)).astype(int), columns] = "*"
    labels = {0: f"{top:.3g}", HEIGHT - 1: f"{lowest:.3g}"}
    width = max(map(len, labels.values()))
    lines = [f"{labels.get(i, ''):>{width}} |{''.join(row)}".rstrip() for i, row in enumerate(canvas)]
    axis = np.full(WIDTH, "-")
    for name, mark in (("tenth", "t"), ("steepest", "s")):
        if rate := found["suggestion"][name]:
            axis[int(round((math.log(rate) - low) / (high - low) * (WIDTH - 1))) if low <= math.log(rate) else 0] = mark
    ends = f"{found['lowest']:.0e}".ljust(WIDTH - 5) + f"{found['highest']:.0e}"
    lines += [f"{'loss':>{width}} +{''.join(axis)}", f"{'':>{width}}  {ends}  rate; s: steepest, t: a tenth"]
    return lines
