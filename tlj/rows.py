"""Which rows of a global batch the arrays at hand are, so that what is drawn for a row does not depend on where it is.

A program over a mesh sees the global batch, and a draw of its shape is all there is to it. A mapped program (``pmap``)
sees the rows of its device, and one that accumulates gradients sees the rows of one part; both take their rows of the
draw that the global batch would have had.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p
from jaxtyping import Array, Bool, Int, Key, UInt32


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The place of some rows among those of the global batch.

    Row ``j`` of part ``i`` on device ``d`` is row ``(d * rows + j) * parts + i`` of the global batch, where ``rows`` is
    how many there are here: each part has rows of every device, and each device keeps its own.

    Attributes:
      axis: of the map over devices; None where the arrays are those of all devices.
      devices: along that axis.
      parts: that the batch is computed in, one after another.
      part: which of them this is.
    """

    axis: str | None = None
    devices: int = 1
    parts: int = 1
    part: int | Int[Array, ""] = 0

    def draw(self, sample: Callable[[tuple[int, ...]], Array], shape: tuple[int, ...]) -> Array:
        """Returns the rows at hand of a draw for the global batch.

        Args:
          sample: draws an array of a shape.
          shape: of what is wanted here; its first axis is rows.
        """
        if self.devices * self.parts == 1:
            return sample(shape)
        rows, *rest = shape
        drawn = sample((self.devices * rows * self.parts, *rest)).reshape(self.devices, rows, self.parts, *rest)
        return drawn[self._device, :, self.part]

    def bernoulli(self, key: Key[Array, ""], p: float, shape: tuple[int, ...]) -> Bool[Array, "rows ..."]:
        """Returns the rows at hand of ``jax.random.bernoulli(key, p, shape)`` of the global batch.

        Nothing is drawn for rows that are elsewhere, where ``draw`` takes memory and time for all of them.

        Args:
          key: what to draw from.
          p: probability of True.
          shape: of what is wanted here; its first axis is rows.
        """
        whole = self.devices * self.parts
        counted = jax.config.jax_threefry_partitionable and jax.random.key_impl(key) == "threefry2x32"
        # With more numbers than that, their counter is two words.
        if whole == 1 or not counted or whole * math.prod(shape) > 2**32:
            return self.draw(lambda shape: jax.random.bernoulli(key, p, shape), shape)
        place = jnp.arange(math.prod(shape[1:]), dtype=jnp.uint32).reshape(1, *shape[1:])
        row = self._index(shape[0]).reshape(-1, *(1 for _ in shape[1:]))
        count = row * jnp.uint32(math.prod(shape[1:])) + place
        # Not a constant: where the count is mapped over devices, the zeros beside it have to be too.
        high, low = threefry2x32_p.bind(*jax.random.key_data(key), count & 0, count)
        # From a word to a number in [0, 1), as JAX makes one: 23 bits behind the point of 1, less 1.
        ones = jnp.float32(1).view(jnp.uint32)
        return jax.lax.bitcast_convert_type((high ^ low) >> 9 | ones, jnp.float32) - 1 < p

    @property
    def _device(self) -> int | Int[Array, ""]:
        return 0 if self.axis is None else jax.lax.axis_index(self.axis)

    def _index(self, rows: int) -> UInt32[Array, " rows"]:
        """Where the rows at hand are in the global batch."""
        index = (self._device * rows + jnp.arange(rows)) * self.parts + self.part
        return index.astype(jnp.uint32)


ALL = Rows()
