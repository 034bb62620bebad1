"""A key for each random change, so that switching one on does not change what another draws."""

from __future__ import annotations

import zlib

import jax
from jaxtyping import Array, Key


def change_key(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Returns the key of one kind of change.

    Args:
      key: of the ``augment`` stream at this step.
      name: of the change.
    """
    # Not 0, 1, 2: fold_in(key, 1) is split(key)[1], which jax.random.randint uses of the key that shifts draw from.
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
