"""Readers whose batches hold activations where others hold pixels or token ids, of the same examples."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from tlj.data.label_kinds import Labels
from tlj.data.sources import Reader
from tlj.models.activations import FromDepth


class Rows(Protocol):
    """Activations by row (``tlj.training.cached.activation_file``), or what stands in for them."""

    def fixed(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n ..."]:
        """Returns rows of one item each."""

    def padded(self, rows: Int[np.ndarray, " n"], length: int) -> Float[np.ndarray, "n length ..."]:
        """Returns rows of several items each, padded to a length."""


@dataclasses.dataclass(frozen=True, eq=False)
class CachedReader:
    """A ``Reader`` of ``activations``; of several views of an example, view v of i is the index v * examples + i.

    Attributes:
      base: of the same examples as the model takes them; text below the last depth has its lengths and masks.
      rows: the activations.
      labels: of every example, as batches hold them.
      preprocessing: the depth that they leave.
      ragged: whether an example has a row of as many items as it has tokens.
      masked: whether the model asks which tokens are real.
      in_memory: whether reading costs next to nothing.
      by_length: as of the base, where batches must be those that it has.
    """

    base: Reader
    rows: Rows
    labels: Labels
    preprocessing: FromDepth
    ragged: bool
    masked: bool
    in_memory: bool
    by_length: bool

    @property
    def lengths(self) -> Int[np.ndarray, " examples"] | None:
        """Tokens of every example; None for images."""
        return self.base.lengths

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns ``activations``, of text below the last depth ``attention_mask``, and ``label``.

        Args:
          indices: of a global batch; of text the longest of its examples decides the length.
          rows: of the global batch that are wanted.
        """
        wanted = np.asarray(indices)[rows]
        label = self.labels[wanted % len(self.labels)]
        if not self.masked:
            return {"activations": self.rows.fixed(wanted), "label": label}
        tokens = self.base.batch(indices, rows)
        mask = tokens.get("attention_mask")
        if mask is None:
            mask = (tokens["input_ids"] != self.base.preprocessing.padding).astype(np.int32)
        values = self.rows.padded(wanted, mask.shape[1]) if self.ragged else self.rows.fixed(wanted)
        return {"activations": values, "attention_mask": mask, "label": label}


@dataclasses.dataclass(frozen=True, eq=False)
class StandIn:
    """Rows of noise, of the shapes that activations have: what a step takes of them takes as long.

    Attributes:
      shape: of an item.
      dtype: of the activations.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def fixed(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n ..."]:
        """See ``Rows``."""
        return self._drawn((len(rows), *self.shape))

    def padded(self, rows: Int[np.ndarray, " n"], length: int) -> Float[np.ndarray, "n length ..."]:
        """See ``Rows``."""
        return self._drawn((len(rows), length, *self.shape))

    def _drawn(self, shape: tuple[int, ...]) -> np.ndarray:
        # Zeros would be kind to no norm, and on some devices to no clock.
        return np.random.default_rng(0).standard_normal(shape, np.float32).astype(self.dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class CachedInputs:
    """What the steps of a phase start from in place of the inputs of the model.

    Attributes:
      depth: that the activations leave.
      reader: for evaluation.
      training_reader: for training.
      views: fixed views of every training example, rows of their own; 0: there are the examples alone.
    """

    depth: int
    reader: CachedReader
    training_reader: CachedReader
    views: int = 0
