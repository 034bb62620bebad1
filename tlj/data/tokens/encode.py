"""A stretch of texts to arrays of tokens, by the Rust tokenizer, on every core."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from tlj.data.examples import Items
from tlj.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase


class Encoded(NamedTuple):
    """Tokens of some examples.

    Attributes:
      ids: of all of them, one example after the other; uint16 where every id fits, else int32.
      lengths: tokens of each.
      second: tokens of each before its second segment; all of them where there is none.
      whole: tokens that each had before it was cut.
    """

    ids: Int[np.ndarray, " tokens"]
    lengths: Int[np.ndarray, " examples"]
    second: Int[np.ndarray, " examples"]
    whole: Int[np.ndarray, " examples"]


class Encoder:
    """Tokenises examples as transformers does with ``truncation=True`` and ``max_length=length``.

    Attributes:
      pairs: whether the examples are two texts; the first of them tells.

    Args:
      tokenizer: of the model; its settings are changed.
      items: the examples.
      length: most tokens of one, special tokens counted.

    Raises:
      InputError: where special tokens alone are so many.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, items: Items, length: int):
        self._backend, self._items, self._length = tokenizer.backend_tokenizer, items, length
        self._side = tokenizer.truncation_side
        self._texts = len(items[0])
        self.pairs = self._texts == 2
        self._has_segments = self.pairs and "token_type_ids" in tokenizer.model_input_names
        # The file may ask for padding; and transformers sets this too.
        self._backend.no_padding()
        self._backend.encode_special_tokens = tokenizer.split_special_tokens
        special = self._backend.num_special_tokens_to_add(self.pairs)
        if special >= length:
            raise InputError(
                f"{length} tokens leave no room for text beside {special} special tokens",
                where="config.data.text.length",
                do=f"give at least {special + 1}",
            )

    def __call__(self, begin: int, texts: Sequence[tuple[str, ...]]) -> Encoded:
        """Returns the tokens of a stretch of the examples.

        Args:
          begin: index of the first.
          texts: of each.

        Raises:
          InputError: for an example that cannot be tokenised.
        """
        self._check(begin, texts)
        inputs = texts if self.pairs else [text for (text,) in texts]
        self._backend.no_truncation()
        encodings = self._backend.encode_batch_fast(inputs)
        whole = _counts(encodings)
        too_long = np.flatnonzero(whole > self._length)
        if len(too_long):
            self._backend.enable_truncation(self._length, strategy="longest_first", direction=self._side)
            cut = self._backend.encode_batch_fast([inputs[place] for place in too_long])
            for place, encoding in zip(too_long, cut, strict=True):
                encodings[place] = encoding
        lengths = _counts(encodings)
        if not lengths.all():
            raise InputError(
                "the text gives no token", where=self._items.where(begin + int(lengths.argmin())), do="leave it out"
            )
        ids = _flat((encoding.ids for encoding in encodings), lengths)
        second = self._second(begin, encodings, lengths) if self._has_segments else lengths
        return Encoded(ids.astype(np.uint16) if ids.max() < 2**16 else ids, lengths, second, whole)

    def _check(self, begin: int, texts: Sequence[tuple[str, ...]]) -> None:
        for index, example in enumerate(texts, begin):
            if len(example) != self._texts:
                what = f"{len(example)} texts, but the first example has {self._texts}"
                raise InputError(what, where=self._items.where(index), do="give every example as many")
            try:
                "".join(example).encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"the text is not valid Unicode ({error.reason})",
                    where=self._items.where(index),
                    do="mend the text, or leave it out",
                ) from error

    def _second(
        self, begin: int, encodings: Sequence[Encoding], lengths: Int[np.ndarray, " examples"]
    ) -> Int[np.ndarray, " examples"]:
        types = _flat((encoding.type_ids for encoding in encodings), lengths)
        begins = np.cumsum(lengths) - lengths
        second = np.add.reduceat(types == 0, begins, dtype=np.int32)
        in_second = np.arange(len(types)) - np.repeat(begins, lengths) >= np.repeat(second, lengths)
        if not np.array_equal(types, in_second):
            raise InputError(
                "the tokenizer gives token types that are not a first segment and then a second",
                where=self._items.where(begin),
                do="use the tokenizer of a BERT",
            )
        return second


def _counts(encodings: Sequence[Encoding]) -> Int[np.ndarray, " examples"]:
    return np.fromiter(map(len, encodings), np.int32, len(encodings))


def _flat(parts, lengths: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " tokens"]:
    return np.fromiter(itertools.chain.from_iterable(parts), np.int32, int(lengths.sum()))
