"""A tokenizer of a few words, and texts for it: nothing to download."""

import numpy as np
import pytest

from tlj.data.examples import Examples

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "##e", "##f", "cafe", ".", "!")


class Texts(tuple):
    """Texts that say where each of them lies."""

    def where(self, index):
        return f"texts.tsv, row {index + 1}"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Files of a WordPiece tokenizer of 14 words, as ``Reading.tokenizer`` wants them."""
    file = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    file.write_text("".join(f"{word}\n" for word in WORDS))
    return (("vocab.txt", file),)


@pytest.fixture(scope="session")
def source_of():
    """Makes a source of texts: ``source_of(["a b", ...])``, or of pairs; changes to its fields may follow."""

    def make(texts, **fields):
        items = Texts((text,) if isinstance(text, str) else tuple(text) for text in texts)
        given = {"name": "tsv:texts.tsv", "kind": "text", "classes": ("no", "yes"), "digest": "digest"} | fields
        return Examples(labels=np.arange(len(items)) % 2, ids=[str(i) for i in range(len(items))], items=items, **given)

    return make


@pytest.fixture(scope="session")
def words():
    """Draws texts of random words: ``words(count, longest, seed=0)``."""

    def draw(count, longest, seed=0):
        random = np.random.default_rng(seed)
        return [" ".join(random.choice(list("abcd"), random.integers(0, longest + 1))) for _ in range(count)]

    return draw
