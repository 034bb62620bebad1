"""Learning-rate schedules as factors between 0 and 1 of the peak rate.

They are functions of the global step, and their length and warm-up are arrays, not constants: one compiled step serves
runs of every length, and a phase that starts late does not restart them. (Optax's schedules want Python numbers.)
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Schedule = Callable[[Int[Array, ""], Float[Array, ""], Float[Array, ""]], Float[Array, ""]]


def _progress(step: Array, steps: Array, warmup_steps: Array) -> Array:
    return jnp.clip((step - warmup_steps) / jnp.maximum(steps - warmup_steps, 1), 0, 1)


def _after_warmup(shape: Callable[[Array], Array]) -> Schedule:
    """Linear from 1 / ``warmup_steps`` to 1, then ``shape`` of the progress through the remaining steps."""

    def schedule(step: Int[Array, ""], steps: Float[Array, ""], warmup_steps: Float[Array, ""]) -> Float[Array, ""]:
        warmup = (step + 1) / jnp.maximum(warmup_steps, 1)
        return jnp.where(step < warmup_steps, warmup, shape(_progress(step, steps, warmup_steps)))

    return schedule


SCHEDULES: dict[str, Schedule] = {
    "constant": _after_warmup(lambda progress: jnp.ones_like(progress)),
    "linear": _after_warmup(lambda progress: 1 - progress),
    "cosine": _after_warmup(lambda progress: 0.5 * (1 + jnp.cos(jnp.pi * progress))),
}
