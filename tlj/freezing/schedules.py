"""Learning-rate schedules as factors between 0 and 1 of the peak rate.

They are functions of the global step, and their length and warm-up are arrays, not constants: one compiled step serves
runs of every length, and a phase that starts late does not restart them. (Optax's schedules want Python numbers.)
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tlj.config_kinds import parse_warmup

Schedule = Callable[[Int[Array, ""], Float[Array, ""], Float[Array, ""]], Float[Array, ""]]

# Howard & Ruder 2018 (arXiv:1801.06146), section 3.2: share of the steps that rise, and peak over lowest rate.
CUT, RATIO = 0.1, 32


def _namespace(step: Any) -> ModuleType:
    """NumPy for a NumPy array of steps, which a table asks about without compiling anything; JAX in a step."""
    return np if isinstance(step, np.ndarray) else jnp


def _progress(step: Array, steps: Array, warmup_steps: Array) -> Array:
    xp = _namespace(step)
    return xp.clip((step - warmup_steps) / xp.maximum(steps - warmup_steps, 1), 0, 1)


def _after_warmup(shape: Callable[[Array], Array]) -> Schedule:
    """Linear from 1 / ``warmup_steps`` to 1, then ``shape`` of the progress through the remaining steps."""

    def schedule(step: Int[Array, ""], steps: Float[Array, ""], warmup_steps: Float[Array, ""]) -> Float[Array, ""]:
        xp = _namespace(step)
        warmup = (step + 1) / xp.maximum(warmup_steps, 1)
        return xp.where(step < warmup_steps, warmup, shape(_progress(step, steps, warmup_steps)))

    return schedule


def slanted_triangular(
    step: Int[Array, ""], steps: Float[Array, ""], warmup_steps: Float[Array, ""]
) -> Float[Array, ""]:
    """Rises over the first tenth of the steps and falls over the rest, from 1/32 to 1 and back (Howard & Ruder 2018).

    Its rise is its warm-up; ``warmup_steps`` is not read.
    """
    xp = _namespace(step)
    cut = xp.maximum(xp.floor(steps * CUT), 1)
    share = xp.where(step < cut, step / cut, 1 - (step - cut) / (cut * (1 / CUT - 1)))
    return (1 + xp.clip(share, 0, 1) * (RATIO - 1)) / RATIO


def rsqrt(step: Int[Array, ""], steps: Float[Array, ""], warmup_steps: Float[Array, ""]) -> Float[Array, ""]:
    """Linear warm-up, then the root of its length over the step (Vaswani et al. 2017); does not know the run's end."""
    xp = _namespace(step)
    timescale = xp.maximum(warmup_steps, 1)
    return xp.minimum((step + 1) / timescale, xp.sqrt(timescale / (step + 1)))


SCHEDULES: dict[str, Schedule] = {
    "constant": _after_warmup(lambda progress: 0 * progress + 1),
    "linear": _after_warmup(lambda progress: 1 - progress),
    "cosine": _after_warmup(lambda progress: 0.5 * (1 + _namespace(progress).cos(np.pi * progress))),
    "slanted_triangular": slanted_triangular,
    "rsqrt": rsqrt,
}


def warmup_in_steps(text: str, *, batch_size: int, examples: int) -> int:
    """Returns the length of a warm-up in steps, rounded up.

    Args:
      text: as ``config.optimizer.warmup`` has it, for example ``"0.5 epochs"``.
      batch_size: examples per step.
      examples: training examples in an epoch.
    """
    number, unit = parse_warmup(text)
    seen = {"steps": number * batch_size, "epochs": number * examples, "examples": number}[unit]
    return int(np.ceil(round(seen / batch_size, 9)))
