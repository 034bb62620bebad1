"""Dropout that gives each row of a global batch one mask, on whatever device and in whatever part it is computed.

A Flax method interceptor draws the masks while a step is traced, so a model is written once, with plain ``nn.Dropout``.
"""

from __future__ import annotations

import contextlib
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from tlj.rows import ALL, Rows


def drawn_for(rows: Rows) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which the masks of ``nn.Dropout``, stochastic depth among it, are those of the rows at hand.

    They are, bit by bit, the rows of what Flax draws for the global batch. It is entered inside
    ``tlj.freezing.modes.behave_as``, which has then decided what is dropped at all.

    Args:
      rows: of the global batch; where they are all of it, Flax draws by itself.
    """
    if rows.devices * rows.parts == 1:
        return contextlib.nullcontext()

    def intercept(next_call: Any, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if not isinstance(module, nn.Dropout) or context.method_name != "__call__":
            return next_call(*args, **kwargs)
        off = nn.merge_param("deterministic", module.deterministic, kwargs.get("deterministic"))
        return args[0] if off or not module.rate else _dropped(module, args[0], rows)

    return nn.intercept_methods(intercept)


def _dropped(module: nn.Dropout, x: Float[Array, "rows ..."], rows: Rows) -> Float[Array, "rows ..."]:
    """What ``nn.Dropout`` computes of rows of a batch."""
    keep, key = 1 - module.rate, module.make_rng(module.rng_collection)
    shape = list(x.shape)
    for axis in module.broadcast_dims:
        shape[axis] = 1
    mask = (ALL if 0 in module.broadcast_dims else rows).bernoulli(key, keep, tuple(shape))
    return jnp.where(mask, x / keep, jnp.zeros_like(x))
