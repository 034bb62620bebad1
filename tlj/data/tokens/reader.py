"""The reader of a source of text, and what its batches waste."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from tlj.data.examples import Examples
from tlj.data.settings import Reading
from tlj.data.sources import Reader
from tlj.data.text import TextPreprocessing
from tlj.data.tokens.lengths import padding_share
from tlj.data.tokens.packed_reader import PackedReader
from tlj.data.tokens.padded_reader import PaddedReader
from tlj.data.tokens.tokenise import tokens_of
from tlj.errors import InputError

# Evaluation is forward alone, and over few batches: there, compiling costs more than padding.
_EVALUATION_LENGTHS = 4


def text_reader(source: Examples, preprocessing: TextPreprocessing, reading: Reading) -> PaddedReader | PackedReader:
    """Returns the reader of a source of text: a ``PaddedReader``, or a ``PackedReader`` where ``reading`` says so.

    Args:
      source: of text.
      preprocessing: of the model; its ``length`` is the most tokens of a sequence.
      reading: the tokenizer and the batching.

    Raises:
      InputError: where the text cannot be tokenised, or the model does not know a token.
    """
    tokens = tokens_of(source, preprocessing.length, reading.tokenizer)
    if tokens.vocabulary > preprocessing.vocabulary:
        raise InputError(
            f"the tokenizer gives the token id {tokens.vocabulary - 1}, the model knows {preprocessing.vocabulary} ids",
            where="config.data.text.tokenizer",
            do="use the tokenizer of the model",
        )
    count = 1 if reading.batching == "padded" else reading.buckets
    evaluation = PaddedReader(source.labels, tokens, preprocessing, min(count, _EVALUATION_LENGTHS))
    reader = PaddedReader(source.labels, tokens, preprocessing, count, evaluation)
    if reading.batching != "packed":
        return reader
    return PackedReader(reader, reading.shards)


def padding_of(reader: Reader, batches: Iterable[Int[np.ndarray, " batch"]]) -> float:
    """Returns the share of tokens that are padding in some batches.

    Args:
      reader: of text.
      batches: indices of each.
    """
    real = padded = 0
    for indices in batches:
        real += int(reader.lengths[indices].sum())
        padded += reader.batch(indices)["input_ids"].size
    return padding_share(real, padded)
