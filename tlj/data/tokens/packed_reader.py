"""Batches of text, packed: several sequences to a row (``tlj.data.tokens.packing`` says what such a batch holds)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from tlj.data.tokens.packing import Packing, pack, round_up, row_step
from tlj.data.tokens.padded_reader import PaddedReader


class PackedReader:
    """A ``Reader`` whose batches hold the examples that they would hold padded, in fewer rows.

    Attributes:
      evaluation: the padded one, for evaluation and all else that wants a row per example.

    The other attributes are those of ``PaddedReader``.

    Args:
      padded: what packs nothing; its tokens are shared.
      shards: devices that rows are divided over.
    """

    in_memory, by_length = True, False

    def __init__(self, padded: PaddedReader, shards: int):
        self.evaluation, self.tokens, self.lengths = padded.evaluation, padded.tokens, padded.lengths
        self.preprocessing = padded.preprocessing
        self._mean, self._shards = float(self.lengths.mean()), shards

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns the arrays of a packed batch, all int32 but the labels of sets and numbers.

        Args:
          indices: of a global batch, which alone decides the number of rows.
          rows: of the global batch that are wanted, for all that is an example's own; of packed rows, the same share.

        Raises:
          ValueError: where packed rows cannot be shared out so; ``shards`` must be a multiple of the shares.
        """
        capacity = self.preprocessing.length
        packing = pack(self.lengths[indices], capacity)
        count = round_up(packing.rows, row_step(self._mean, capacity, len(indices), self._shards))
        begin, end, step = rows.indices(len(indices))
        if step != 1 or begin * count % len(indices) or end * count % len(indices):
            raise ValueError(f"{count} packed rows of {len(indices)} examples have no share {begin}:{end}:{step}")
        part = slice(begin * count // len(indices), end * count // len(indices))
        return {
            **self._rows(indices, packing, part, capacity),
            "example_row": packing.row[rows],
            "example_start": packing.start[rows],
            "example_length": self.lengths[indices[rows]].astype(np.int32),
            "label": self.evaluation.labels[indices[rows]],
        }

    def _rows(
        self, indices: Int[np.ndarray, " batch"], packing: Packing, part: slice, capacity: int
    ) -> dict[str, Int[np.ndarray, "rows capacity"]]:
        """The arrays of a part of the packed rows."""
        here = np.flatnonzero((packing.row >= part.start) & (packing.row < part.stop))
        examples = indices[here]
        lengths = self.lengths[examples]
        own = np.repeat(np.arange(len(here)), lengths)
        position = np.arange(len(own)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        place = (packing.row[here][own] - part.start) * capacity + packing.start[here][own] + position

        def laid_out(values: Int[np.ndarray, " tokens"], elsewhere: int = 0) -> Int[np.ndarray, "rows capacity"]:
            array = np.full((part.stop - part.start) * capacity, elsewhere, np.int32)
            array[place] = values
            return array.reshape(-1, capacity)

        ids = self.tokens.ids[self.tokens.offsets[examples][own] + position]
        arrays = {
            "input_ids": laid_out(ids, self.preprocessing.padding),
            "segment_ids": laid_out(packing.segment[here][own]),
            "position_ids": laid_out(position),
        }
        if self.tokens.pairs:
            arrays["token_type_ids"] = laid_out(position >= self.tokens.second[examples][own])
        return arrays
