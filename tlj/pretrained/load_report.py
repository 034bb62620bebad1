"""The account of a load: what became of every leaf."""

from __future__ import annotations

import collections
import dataclasses
import hashlib

import numpy as np

STATUSES = ("loaded", "resized", "drawn", "reset", "ignored")


@dataclasses.dataclass(frozen=True)
class LoadedLeaf:
    """What became of one leaf of the model, or of one array of the source that the model does not take.

    Attributes:
      path: of the leaf in the model; empty for an ignored array.
      status: ``"loaded"`` (the source's values), ``"resized"`` (the source's position embeddings, for another
        resolution), ``"drawn"`` (from the moments of the source's values), ``"reset"`` (initialised anew, as a new head
        is) or ``"ignored"`` (an array of the source that the model does not take).
      source: names of the arrays in the source, joined by `` + ``; empty for a leaf that is reset.
      shape: of the leaf; of the array where it is ignored.
      hash: of the values that came from the source, in the model's layout and in float32, so that a leaf which never
        trains has it still; of the array as it is stored where it is ignored; empty for a leaf that is reset.
      note: how it was resized, or why it was ignored.
    """

    path: str
    status: str
    source: str
    shape: tuple[int, ...]
    hash: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of every leaf of a model, and of what else the source holds. Printing it gives one line."""

    leaves: tuple[LoadedLeaf, ...]

    def __str__(self) -> str:
        counts = collections.Counter(leaf.status for leaf in self.leaves)
        ours = len(self.leaves) - counts["ignored"]
        return f"{ours} leaves: " + ", ".join(f"{counts[s]} {s}" for s in STATUSES if counts[s])

    def rows(self) -> list[dict[str, object]]:
        """Returns one JSON-ready row per leaf, for the manifest."""
        return [dataclasses.asdict(leaf) | {"shape": list(leaf.shape)} for leaf in self.leaves]


def array_hash(values: np.ndarray) -> str:
    """Returns a short hash of an array's bytes."""
    # As bytes: bfloat16, which NumPy does not know, cannot be handed over as a buffer.
    return hashlib.blake2b(np.ascontiguousarray(values).reshape(-1).view(np.uint8), digest_size=8).hexdigest()
