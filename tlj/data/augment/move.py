"""Random shifts and mirror images: whole pixels change place, and none its value."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Real

from tlj.rows import ALL, Rows


def shifted(
    images: Real[Array, "batch height width channel"], key: Key[Array, ""], margin: int, rows: Rows = ALL
) -> Real[Array, "batch height width channel"]:
    """Shifts each image by whole pixels, of any direction; what enters at the border is zero.

    Args:
      images: of any dtype, which stays.
      key: what shifts are drawn from.
      margin: largest shift in pixels along each axis.
      rows: of the global batch that the images are.
    """
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    offsets = rows.draw(lambda shape: jax.random.randint(key, shape, 0, 2 * margin + 1), (len(images), 2))

    def window(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

    return jax.vmap(window)(padded, offsets)


def flipped(
    images: Real[Array, "batch height width channel"], key: Key[Array, ""], rows: Rows = ALL
) -> Real[Array, "batch height width channel"]:
    """Mirrors each image left to right with probability one half.

    Args:
      images: of any dtype, which stays.
      key: what decides is drawn from.
      rows: of the global batch that the images are.
    """
    mirrored = rows.draw(lambda shape: jax.random.bernoulli(key, 0.5, shape), (len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)
