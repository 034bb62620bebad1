"""Texts to tokens, once: by the tokenizer of the model, on every core, into the cache."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import pathlib
from collections.abc import Iterator

import numpy as np

from tlj.data.cache import cache_folder, keep
from tlj.data.examples import Examples, Items
from tlj.data.tokens.encode import Encoder
from tlj.data.tokens.token_file import VERSION, Tokens, read_tokens, write_tokens
from tlj.errors import InputError
from tlj.pretrained.formats.tokenizer_files import open_tokenizer
from tlj.pretrained.identity import content_identity

# Characters that are tokenised at once: enough for every core, and some hundred MiB of encodings.
_CHUNK = 2_000_000

Files = tuple[tuple[str, pathlib.Path], ...]


def tokens_of(source: Examples, length: int, tokenizer: Files) -> Tokens:
    """Returns the tokens of every example: from the cache, or tokenised now and kept there.

    Special tokens are added as the tokenizer says. What is longer than ``length`` is cut as transformers cuts it with
    ``truncation=True``: at the end, or where the tokenizer says, and of a pair whichever text is longer.

    Args:
      source: of text.
      length: most tokens of an example, special tokens counted.
      tokenizer: its files, as (name, path) pairs.

    Raises:
      InputError: without a tokenizer, with one that cannot be opened, and for an example that it cannot take.
    """
    if not tokenizer:
        raise InputError(
            f"the data {source.name!r} is text, and there is no tokenizer to make token ids of it",
            where="config.data.text.tokenizer",
            do="give data.text.tokenizer=FOLDER, or a model.source that has a tokenizer",
        )
    file = cache_folder("tokens") / f"{_key(source, length, tokenizer)}.npy"
    kept = read_tokens(file, len(source.items))
    if kept is not None:
        return kept
    tokens = _tokenise(source.items, length, tokenizer)
    written = keep(file, functools.partial(write_tokens, tokens))
    # Mapped from the file, they are shared with other processes and need no memory of this one.
    return (read_tokens(file, len(source.items)) if written else None) or tokens


def _key(source: Examples, length: int, tokenizer: Files) -> str:
    """Hash of all that the tokens are made from."""
    versions = [importlib.metadata.version(library) for library in ("tokenizers", "transformers")]
    identity = content_identity(path for _, path in tokenizer)
    # Two sources of one content may differ in the columns that were read and in what was left out.
    data = (source.digest, len(source.items), source.skipped, sorted(source.facts.items()))
    return hashlib.sha256(repr((VERSION, versions, identity, data, length)).encode()).hexdigest()[:32]


def _tokenise(items: Items, length: int, files: Files) -> Tokens:
    tokenizer = open_tokenizer(dict(files))
    encode = Encoder(tokenizer, items, length)
    parts = [encode(begin, texts) for begin, texts in _chunks(items)]
    # Of uint16 and int32 together int32 is made.
    ids, lengths, second, whole = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not lengths.all():
        raise InputError("the text gives no token", where=items.where(int(lengths.argmin())), do="leave it out")
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Tokens(ids, offsets, second, whole, encode.pairs, int(ids.max()) + 1)


def _chunks(items: Items) -> Iterator[tuple[int, list[tuple[str, ...]]]]:
    """Stretches of the examples, each with the index of its first."""
    begin, characters, texts = 0, 0, []
    for index in range(len(items)):
        example = items[index]
        texts.append(example)
        # An example counts for something even where it is empty.
        characters += 50 + sum(map(len, example))
        if characters >= _CHUNK:
            yield begin, texts
            begin, characters, texts = index + 1, 0, []
    if texts:
        yield begin, texts
