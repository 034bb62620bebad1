"""Tokens from the cache, or made now."""

import dataclasses
import shutil
import sys
import threading

import numpy as np
import pytest

from tlj.data.settings import Skipped
from tlj.data.tokens import tokenise
from tlj.data.tokens.tokenise import tokens_of
from tlj.errors import InputError

TEXTS = ["a b", "", "c d d !", "zz"]


def rows_of(tokens):
    return [part.tolist() for part in np.split(tokens.ids, tokens.offsets[1:-1])]


@pytest.fixture
def kept(tmp_path):
    """Lists the files of the cache."""
    return lambda: sorted((tmp_path / "cache/tokens").glob("*"))


@pytest.fixture
def no_transformers(monkeypatch):
    """Forbids transformers from here on: ``no_transformers()``."""
    return lambda: monkeypatch.setitem(sys.modules, "transformers", None)


def test_tokens_are_kept_and_not_made_again(source_of, tokenizer, kept, no_transformers):
    made = tokens_of(source_of(TEXTS), 5, tokenizer)
    assert rows_of(made) == [[2, 5, 6, 3], [2, 3], [2, 7, 8, 8, 3], [2, 1, 3]]
    assert (made.pairs, made.vocabulary, made.whole.tolist(), made.truncated) == (False, 9, [4, 2, 6, 3], 0.25)
    assert len(kept()) == 1
    no_transformers()
    found = tokens_of(source_of(TEXTS), 5, tokenizer)
    assert rows_of(found) == rows_of(made)
    assert isinstance(found.ids.base, np.memmap)
    with pytest.raises(ImportError):
        tokens_of(source_of(TEXTS, digest="another"), 5, tokenizer)


def test_text_is_not_read_when_its_tokens_are_kept(source_of, tokenizer):
    class Unread(tuple):
        def __getitem__(self, index):
            raise AssertionError("read")

    source = source_of(TEXTS)
    expected = rows_of(tokens_of(source, 5, tokenizer))
    assert rows_of(tokens_of(dataclasses.replace(source, items=Unread(source.items)), 5, tokenizer)) == expected


def test_the_same_tokenizer_elsewhere_has_the_same_tokens(source_of, tokenizer, tmp_path, kept):
    tokens_of(source_of(TEXTS), 5, tokenizer)
    tokens_of(source_of(TEXTS), 5, (("vocab.txt", shutil.copyfile(tokenizer[0][1], tmp_path / "vocab.txt")),))
    assert len(kept()) == 1


def test_whatever_tokens_are_made_from_has_tokens_of_its_own(source_of, tokenizer, tmp_path, kept, monkeypatch):
    other = tmp_path / "vocab.txt"
    other.write_text(tokenizer[0][1].read_text() + "new\n")
    source = source_of(TEXTS)
    tokens_of(source, 5, tokenizer)
    tokens_of(source, 6, tokenizer)
    tokens_of(source, 5, (("vocab.txt", other),))
    tokens_of(source_of(TEXTS, digest="another"), 5, tokenizer)
    tokens_of(source_of(TEXTS, facts={"columns": ["sentence"]}), 5, tokenizer)
    tokens_of(source_of(TEXTS[1:]), 5, tokenizer)
    tokens_of(source.without({0: Skipped("row 1", "empty")}), 5, tokenizer)
    tokens_of(source.without({1: Skipped("row 2", "empty")}), 5, tokenizer)
    monkeypatch.setattr(tokenise.importlib.metadata, "version", lambda library: "another")
    tokens_of(source, 5, tokenizer)
    assert len(kept()) == 9


@pytest.mark.parametrize("damage", ["short", "changed", "foreign", "folder"])
def test_what_was_damaged_is_made_anew(source_of, tokenizer, kept, no_transformers, damage):
    expected = rows_of(tokens_of(source_of(TEXTS), 5, tokenizer))
    (file,) = kept()
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "short":
        file.write_bytes(content[:-20])
    elif damage == "changed":
        content[-6] ^= 1
        file.write_bytes(content)
    elif damage == "foreign":
        np.save(file, np.arange(5))
    else:
        file.mkdir()
    assert rows_of(tokens_of(source_of(TEXTS), 5, tokenizer)) == expected
    if damage != "folder":
        no_transformers()
        assert rows_of(tokens_of(source_of(TEXTS), 5, tokenizer)) == expected


def test_without_a_place_to_keep_them_tokens_are_in_memory(source_of, tokenizer, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path / "taken"))
    found = tokens_of(source_of(TEXTS), 5, tokenizer)
    assert rows_of(found)[0] == [2, 5, 6, 3]
    assert not isinstance(found.ids.base, np.memmap)


def test_a_disk_that_is_full_leaves_nothing_behind(source_of, tokenizer, kept, monkeypatch):
    def full(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    assert rows_of(tokens_of(source_of(TEXTS), 5, tokenizer))[1] == [2, 3]
    assert kept() == []


def test_two_that_make_the_same_tokens_at_once_both_have_them(source_of, tokenizer, kept):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(rows_of(tokens_of(source_of(TEXTS), 5, tokenizer))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 3
    assert len(kept()) == 1


def test_stretches_are_joined_in_order(source_of, tokenizer, words, monkeypatch):
    texts = words(50, 9)
    whole = tokens_of(source_of(texts), 8, tokenizer)
    monkeypatch.setattr(tokenise, "_CHUNK", 200)
    assert len(list(tokenise._chunks(source_of(texts).items))) > 10
    parts = tokens_of(source_of(texts, digest="another"), 8, tokenizer)
    for name in ("ids", "offsets", "second", "whole"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
        assert getattr(parts, name).dtype == getattr(whole, name).dtype


def test_an_example_that_cannot_be_tokenised_is_named_in_whatever_stretch(source_of, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenise, "_CHUNK", 1)
    with pytest.raises(InputError, match="texts.tsv, row 3: the text is not valid Unicode"):
        tokens_of(source_of(["a", "b", "\udc80"]), 8, tokenizer)


def test_text_without_a_tokenizer_is_refused_with_what_to_do(source_of):
    with pytest.raises(InputError, match="no tokenizer.*give data.text.tokenizer=FOLDER, or a model.source"):
        tokens_of(source_of(TEXTS), 5, ())


def test_pairs_keep_the_start_of_their_second_segment(source_of, tokenizer):
    for _ in range(2):
        found = tokens_of(source_of([("a", "b c"), ("", "d")]), 8, tokenizer)
        assert rows_of(found) == [[2, 5, 3, 6, 7, 3], [2, 3, 8, 3]]
        assert (found.pairs, found.second.tolist()) == (True, [3, 2])
