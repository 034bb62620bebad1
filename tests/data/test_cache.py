"""Files that are kept between processes."""

import os
import pathlib

import pytest

from tlj.data.cache import VARIABLE, cache_folder, keep


def test_the_cache_lies_where_the_user_says_else_where_the_system_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert cache_folder("tokens") == tmp_path / "tokens"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("tokens") == tmp_path / "xdg/tlj/tokens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pathlib.Path, "home", lambda: tmp_path / "home")
    assert cache_folder("tokens") == tmp_path / "home/.cache/tlj/tokens"


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    file = tmp_path / "deep/er/file"
    assert keep(file, lambda path: path.write_text("whole"))
    assert file.read_text() == "whole"

    def fail(path):
        path.write_text("ha")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="^broken$"):
        keep(file, fail)
    assert file.read_text() == "whole"
    assert os.listdir(file.parent) == ["file"]


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
    (tmp_path / "taken").write_text("")
    assert not keep(tmp_path / "taken/file", lambda path: path.write_text("x"))

    def full(path):
        raise OSError(28, "No space left on device")

    assert not keep(tmp_path / "file", full)
    assert os.listdir(tmp_path) == ["taken"]
