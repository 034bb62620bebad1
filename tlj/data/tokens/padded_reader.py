"""Batches of text, padded: to the shortest of a few fixed lengths that covers the batch, or all to the longest."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int

from tlj.data.label_kinds import Labels, as_held
from tlj.data.text import TextPreprocessing
from tlj.data.tokens.lengths import choose_lengths
from tlj.data.tokens.token_file import Tokens


class PaddedReader:
    """A ``Reader`` whose sequences stand a row each; two of them may share tokens.

    Attributes:
      tokens: of every example of the source.
      preprocessing: as given, with the longest length in use.
      lengths: tokens of every example, those that are cut off not counted.
      labels: of every example, as batches hold them.
      fixed: the lengths that batches have, increasing.
      in_memory: True.
      by_length: whether there are several of them.
      evaluation: the reader for evaluation.

    Args:
      labels: of every example.
      tokens: of every example.
      preprocessing: of the model.
      count: how many lengths to use.
      evaluation: the reader for evaluation; None is itself.
    """

    in_memory = True

    def __init__(
        self,
        labels: Labels,
        tokens: Tokens,
        preprocessing: TextPreprocessing,
        count: int,
        evaluation: PaddedReader | None = None,
    ):
        self.evaluation = evaluation or self
        self.tokens, self.lengths = tokens, tokens.lengths
        self.fixed = choose_lengths(self.lengths, count)
        self.preprocessing = dataclasses.replace(preprocessing, length=self.fixed[-1])
        self.by_length = len(self.fixed) > 1
        self.labels = as_held(labels)

    def batch(self, indices: Int[np.ndarray, " batch"], rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Returns ``input_ids``, ``attention_mask``, of pairs ``token_type_ids``, all int32, and ``label``.

        Args:
          indices: of a global batch; the longest of its examples decides the length.
          rows: of the global batch that are wanted.
        """
        chosen, tokens = indices[rows], self.tokens
        longest = self.fixed[np.searchsorted(self.fixed, self.lengths[indices].max())]
        columns = np.arange(longest)
        real = columns < self.lengths[chosen, None]
        # Beyond the last token of all there is nothing to look up, nor would it be kept.
        places = np.minimum(tokens.offsets[chosen, None] + columns, len(tokens.ids) - 1)
        arrays = {
            "input_ids": np.where(real, tokens.ids[places].astype(np.int32), self.preprocessing.padding),
            "attention_mask": real.astype(np.int32),
        }
        if tokens.pairs:
            arrays["token_type_ids"] = (real & (columns >= tokens.second[chosen, None])).astype(np.int32)
        return {**arrays, "label": self.labels[chosen]}
