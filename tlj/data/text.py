"""What a model expects of text: sequences of token ids, padded to one length."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

# What a batch of text may hold for a model: ids, which of them are real tokens, and the segment of each.
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# What it holds besides where several examples share a row (``tlj.data.tokens.packing``).
PACKED_INPUTS = ("segment_ids", "position_ids", "example_row", "example_start", "example_length")


@dataclasses.dataclass(frozen=True)
class TextPreprocessing:
    """What a model expects of its token ids; it comes with the checkpoint and both arms of a pair share it.

    Attributes:
      length: tokens in a sequence, padding counted.
      vocabulary: every id is below it.
      padding: the id that stands where there is no token.
      tokenizer: hash of the content of its tokenizer's files; empty where none travels with the model.
    """

    length: int
    vocabulary: int
    padding: int = 0
    tokenizer: str = ""

    kind: ClassVar[str] = "text"

    def sizes(self) -> dict[str, int]:
        """Returns the settings of a new model that text like this decides: none, a model may be made for more."""
        return {}

    def misfit(self, spec: Any) -> str:
        """Returns why a model of these sizes cannot take text like this, or nothing."""
        if spec.positions < self.length:
            return f"the model has {spec.positions} positions, a sequence of the data {self.length} tokens"
        if spec.vocabulary < self.vocabulary:
            return f"the model knows {spec.vocabulary} token ids, the data has {self.vocabulary}"
        return ""

    def on(self, data: TextPreprocessing) -> TextPreprocessing:
        """Returns what a model that was trained with this applies to other data: its own ids, padded as the data is."""
        return dataclasses.replace(self, length=data.length, padding=data.padding)
