"""The account of a load: what became of every leaf."""

from __future__ import annotations

import collections
import dataclasses
import hashlib

import numpy as np

STATUSES = ("loaded", "drawn", "reset")


@dataclasses.dataclass(frozen=True)
class LoadedLeaf:
    """What became of one leaf.

    Attributes:
      path: of the leaf in the model.
      status: ``"loaded"`` (the source's values), ``"drawn"`` (from the moments of the source's values) or ``"reset"``
        (initialised anew, as every head is).
      source: name of the leaf in the source; empty for a reset leaf.
      shape: of the leaf.
      hash: of the source's bytes; empty for a reset leaf.
    """

    path: str
    status: str
    source: str
    shape: tuple[int, ...]
    hash: str


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of every leaf of a model. Printing it gives one line."""

    leaves: tuple[LoadedLeaf, ...]

    def __str__(self) -> str:
        counts = collections.Counter(leaf.status for leaf in self.leaves)
        return f"{len(self.leaves)} leaves: " + ", ".join(f"{counts[s]} {s}" for s in STATUSES if counts[s])

    def rows(self) -> list[dict[str, object]]:
        """Returns one JSON-ready row per leaf, for the manifest."""
        return [dataclasses.asdict(leaf) | {"shape": list(leaf.shape)} for leaf in self.leaves]


def array_hash(values: np.ndarray) -> str:
    """Returns a short hash of an array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(values), digest_size=8).hexdigest()
