"""The files below a folder."""

import os
import pathlib

import pytest

from tlj.data.origins.walk import File, walk
from tlj.errors import InputError


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def test_files_and_folders_are_listed_in_order_with_what_stat_tells(tmp_path):
    make(tmp_path, "b/2", "a/c/1", "0")
    (tmp_path / "empty").mkdir()
    files, folders = walk(str(tmp_path), 3)
    assert [file.path for file in files] == ["0", "a/c/1", "b/2"]
    assert folders == ["a", "a/c", "b", "empty"]
    status = (tmp_path / "b/2").stat()
    assert files[2] == File("b/2", status.st_size, status.st_mtime_ns)
    assert [file.depth for file in files] == [1, 3, 2]


def test_hidden_files_and_litter_are_not_listed(tmp_path):
    litter = [".hidden/1", "a/.DS_Store", "a/Thumbs.db", "__MACOSX/a/1", "desktop.ini", "a/Desktop.ini"]
    make(tmp_path, "a/1", *litter)
    files, folders = walk(str(tmp_path), 3)
    assert ([file.path for file in files], folders) == (["a/1"], ["a"])


def test_links_are_followed_but_not_in_circles(tmp_path):
    make(tmp_path, "data/a/1", "elsewhere/2")
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/a/3").symlink_to(tmp_path / "elsewhere/2")
    (tmp_path / "data/a/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/a/self").symlink_to(tmp_path / "data/a")
    files, folders = walk(str(tmp_path / "data"), 3)
    assert [file.path for file in files] == ["a/1", "a/3", "b/2"]
    assert folders == ["a", "b"]


def test_what_cannot_be_an_example_has_a_problem(tmp_path):
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    pathlib.Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9")).write_text("latin 1")
    files, _ = walk(str(tmp_path), 3)
    problems = {file.path: file.problem for file in files}
    assert problems["broken"] == "the file cannot be looked at: No such file or directory"
    assert "symbolic links" in problems["round"]
    assert problems["empty"] == "the file is empty"
    assert problems["pipe"] == "it is no ordinary file"
    assert problems["caf\udce9"] == "its name is not UTF-8"


def test_a_file_that_lies_too_deep_is_named(tmp_path):
    make(tmp_path, "a/b/c/1")
    assert len(walk(str(tmp_path), 4)[0]) == 1
    with pytest.raises(InputError, match=r"a/b/c/1: the file lies 4 names deep"):
        walk(str(tmp_path), 3)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    make(tmp_path, "a/1")
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="/a: the folder cannot be listed: Permission denied"):
        walk(str(tmp_path), 3)
