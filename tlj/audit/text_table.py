"""What an audit knows of every text: its length, and what it is a copy of."""

from __future__ import annotations

import dataclasses
import pathlib
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

from tlj.audit.contents import ArrayContents
from tlj.audit.copies import IDENTICAL, NORMALISED, Copies, same_content
from tlj.audit.thumbnails import fingerprint
from tlj.data.examples import Items
from tlj.data.settings import Skipped
from tlj.errors import InputError

_AT_ONCE = 1024
# Unicode categories that do not make another text: punctuation, separators, control characters, stray accents.
_FOLDED = ("P", "Z", "C", "Sk")


@dataclasses.dataclass(frozen=True, eq=False)
class TextTable:
    """Facts of the texts that could be read.

    Attributes:
      indices: of them in the source.
      unit: ``"tokens"`` or ``"words"``, what lengths are counted in.
      lengths: of each, of both texts of a pair together.
      content: hash of each.
      normalised: hash of its normal form.
      ending: its last character that is no white space.
      empty: whether it is white space or nothing; of a pair, either text.
      unreadable: the others, by index.
    """

    indices: Int[np.ndarray, " n"]
    unit: str
    lengths: Int[np.ndarray, " n"]
    content: Sequence[int]
    normalised: Sequence[int]
    ending: Sequence[str]
    empty: Bool[np.ndarray, " n"]
    unreadable: dict[int, Skipped]


class _Fold(dict):
    """What each character becomes, found out when it is first met."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(" ") if unicodedata.category(chr(code)).startswith(_FOLDED) else code
        return self[code]


_FOLD = _Fold()


def normal_form(text: str) -> str:
    """Returns a text in compatibility form (NFKC) and case-folded, without punctuation, words apart by one space.

    A text of nothing but punctuation keeps it: ``":)"`` and ``":("`` are two texts.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_FOLD).split()) or " ".join(folded.split())


def read_texts(
    items: Items, indices: Int[np.ndarray, " n"], tokenizer: Mapping[str, pathlib.Path] | None = None
) -> TextTable:
    """Looks at every text once.

    Args:
      items: the texts.
      indices: which of them.
      tokenizer: files of a tokenizer that lengths are counted with; without one words are counted. A source of token
        ids needs none.

    Raises:
      InputError: where there is no tokenizer in the files.
    """
    are_tokens = isinstance(items, ArrayContents)
    count = _token_counter(tokenizer) if tokenizer and not are_tokens else _words
    kept, unreadable, lengths = [], {}, []
    content, normalised, ending, empty = [], [], [], []
    for start in range(0, len(indices), _AT_ONCE):
        read = []
        for index in map(int, indices[start : start + _AT_ONCE]):
            try:
                texts = items[index]
            except InputError as error:
                unreadable[index] = Skipped(items.where(index), error.what)
                continue
            kept.append(index)
            read.append(texts)
            content.append(_fingerprint(texts))
            normalised.append(_fingerprint([normal_form(text) for text in texts]))
            ending.append(texts[-1].rstrip()[-1:])
            empty.append(not all(text.strip() for text in texts))
        lengths += count(read) if read else []
    return TextTable(
        np.array(kept, np.int64),
        "tokens" if tokenizer or are_tokens else "words",
        np.array(lengths, np.int64),
        *(content, normalised, ending),
        np.array(empty, bool),
        unreadable,
    )


def text_copies(table: TextTable, in_train: Bool[np.ndarray, " n"]) -> list[Copies]:
    """Returns which texts are copies, the strictest way of being one first.

    Args:
      table: the texts.
      in_train: which of them are in training.
    """
    ways = ((IDENTICAL, table.content), (NORMALISED, table.normalised))
    return [same_content(kind, fingerprints, in_train) for kind, fingerprints in ways]


def _fingerprint(texts: Sequence[str]) -> int:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return fingerprint(b"".join(b"%d:%b" % (len(text), text) for text in encoded))


def _words(read: Sequence[Sequence[str]]) -> list[int]:
    return [sum(len(text.split()) for text in texts) for texts in read]


def _token_counter(files: Mapping[str, pathlib.Path]):
    from tlj.pretrained.formats.tokenizer_files import open_tokenizer

    tokenizer = open_tokenizer(files)

    def count(read: Sequence[Sequence[str]]) -> list[int]:
        columns = [list(column) for column in zip(*read, strict=True)]
        # Not the tokenizer's own limit: how much would be cut off is what is asked. `verbose` would warn of it.
        encoded = tokenizer(*columns, truncation=False, padding=False, verbose=False)["input_ids"]
        return [len(ids) for ids in encoded]

    return count
