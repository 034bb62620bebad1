"""One array of a checkpoint file: its name, shape and type are known at once, its values are read when asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file, not read yet.

    Attributes:
      name: in the file.
      shape: as it is stored.
      dtype: as it is stored.
      read: returns the values, which may be a read-only view of the mapped file: whoever keeps them copies them. It
        raises InputError where the file cannot give what it promised.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], Shaped[np.ndarray, "..."]]


def in_memory(name: str, values: Shaped[np.ndarray, "..."]) -> StoredArray:
    """Returns a stored array of values that are there already."""
    return StoredArray(name, values.shape, values.dtype, lambda: values)
