"""The file that keeps tokens."""

import numpy as np
import pytest

from tlj.data.tokens.token_file import Tokens, read_tokens, write_tokens

TOKENS = Tokens(
    ids=np.array([2, 5, 3, 2, 6, 7, 3], np.uint16),
    offsets=np.array([0, 3, 7]),
    second=np.array([3, 2], np.int32),
    whole=np.array([3, 9], np.int32),
    pairs=True,
    vocabulary=8,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens.npy"
    write_tokens(TOKENS, path)
    return path


def test_what_was_written_is_read_and_mapped(file):
    found = read_tokens(file, 2)
    for name in ("ids", "offsets", "second", "whole"):
        expected = getattr(TOKENS, name)
        np.testing.assert_array_equal(getattr(found, name), expected)
        assert getattr(found, name).dtype == expected.dtype
    assert (found.pairs, found.vocabulary) == (True, 8)
    assert isinstance(found.ids.base, np.memmap)
    assert not found.ids.flags.writeable


def test_lengths_and_what_was_cut_follow():
    assert TOKENS.lengths.tolist() == [3, 4]
    assert TOKENS.truncated == 0.5


def test_a_file_of_another_number_of_examples_is_none(file):
    assert read_tokens(file, 3) is None
    assert read_tokens(file, 1) is None


def test_an_absent_file_is_none(tmp_path):
    assert read_tokens(tmp_path / "absent.npy", 2) is None
    assert read_tokens(tmp_path, 2) is None


def test_a_file_that_was_cut_off_anywhere_is_none(file):
    content = file.read_bytes()
    for size in range(0, len(content), 7):
        file.write_bytes(content[:size])
        assert read_tokens(file, 2) is None
    file.write_bytes(content + b"\0")
    assert read_tokens(file, 2) is None


def test_any_changed_byte_is_found(file):
    content = file.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        assert read_tokens(file, 2) is None, place


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04.", b"\x93NUMPY\x01\x00", b"text\n" * 100])
def test_a_file_of_another_kind_is_none(file, content):
    file.write_bytes(content)
    assert read_tokens(file, 2) is None


def test_pickled_objects_are_not_read(file):
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert read_tokens(file, 2) is None
