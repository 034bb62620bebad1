"""A hash of many files."""

import dataclasses
import os

import pytest

from tlj.data.cache import cache_folder
from tlj.data.origins import index_cache
from tlj.data.origins.index_cache import hash_files
from tlj.data.origins.walk import File, walk
from tlj.errors import InputError

FILES = {"a/1": "one", "a/2": "two", "b/3": "three"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path / "cache"))
    for path, content in FILES.items():
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_text(content)
    return tmp_path / "data"


@pytest.fixture
def read(monkeypatch):
    """Paths of the files whose content was read."""
    paths, content = [], index_cache._content

    def spy(root, file):
        paths.append(file.path)
        return content(root, file)

    monkeypatch.setattr(index_cache, "_content", spy)
    return paths


def hashed(root, **options):
    return hash_files(str(root), walk(str(root), 3)[0], **options)


def test_the_hash_is_of_paths_and_contents_wherever_the_folder_lies(root, tmp_path):
    first = hashed(root)
    assert first.hash_of == "paths and contents"
    assert hashed(root.rename(tmp_path / "moved")) == first


@pytest.mark.parametrize("change", ["content", "path", "added", "removed", "swapped"])
def test_any_change_gives_another_hash(root, change):
    first = hashed(root)
    match change:
        case "content":
            (root / "a/1").write_text("eno")
        case "path":
            (root / "a/1").rename(root / "a/0")
        case "added":
            (root / "b/4").write_text("")
        case "removed":
            (root / "a/1").unlink()
        case "swapped":
            (root / "a/1").write_text("two")
            (root / "a/2").write_text("one")
    assert hashed(root).digest != first.digest


def test_nothing_is_read_again_while_no_file_changed(root, read):
    first = hashed(root)
    assert sorted(read) == sorted(FILES)
    assert hashed(root) == first
    assert len(read) == 3
    os.utime(root / "a/1", ns=(0, 0))
    assert hashed(root) == first
    assert len(read) == 6


def test_a_link_to_the_folder_shares_what_was_kept(root, read, tmp_path):
    first = hashed(root)
    (tmp_path / "link").symlink_to(root)
    assert hashed(tmp_path / "link") == first
    assert len(read) == 3


@pytest.mark.parametrize("kept", [b"", b"{}", b"[1]", b'"x"', b'{"state": 1, "digest": 2}', b"\xff\xfe", b"null"])
def test_a_cache_that_makes_no_sense_is_ignored(root, kept):
    first = hashed(root)
    (file,) = cache_folder("index").iterdir()
    file.write_bytes(kept)
    assert hashed(root) == first


def test_a_cache_that_cannot_be_written_is_no_error(root, monkeypatch):
    first = hashed(root)
    monkeypatch.setenv("TLJ_CACHE", str(root / "a/1"))
    assert hashed(root) == first


def test_of_much_data_paths_and_sizes_are_hashed_and_nothing_is_read(root, read):
    first = hashed(root, most=10)
    assert (first.hash_of, read) == ("paths and sizes", [])
    (root / "a/1").write_text("eno")
    assert hashed(root, most=10) == first
    (root / "a/1").write_text("ones")
    assert hashed(root, most=10) != first
    assert hashed(root, most=12).hash_of == "paths and contents"
    assert dataclasses.replace(first, hash_of="") != hashed(root)


def test_a_file_that_is_gone_is_named(root):
    with pytest.raises(InputError, match="a/9: the file cannot be read: No such file"):
        hash_files(str(root), [File("a/9", 3, 0)])


def test_many_files_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(index_cache, "_SHARE", 3)
    for i in range(20):
        (tmp_path / f"{i:02}").write_text(str(i))
    files = walk(str(tmp_path), 3)[0]
    in_shares = index_cache._contents(str(tmp_path), files)
    assert in_shares == [index_cache._content(str(tmp_path), file) for file in files]
