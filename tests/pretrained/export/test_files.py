"""The files of an export: all of them, or none."""

import json
import os
import stat

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tlj.errors import InputError
from tlj.pretrained.export.files import as_arrays, as_bytes, as_copy, as_json, as_text, check_directory, write_directory


def test_a_directory_holds_what_was_to_be_written(tmp_path):
    (tmp_path / "original").write_text("copied")
    files = {"a.txt": as_text("é"), "b.bin": as_bytes(b"\0"), "c.json": as_json({"b": 1, "a": [2]})}
    files |= {"d": as_copy(tmp_path / "original"), "e.safetensors": as_arrays({"x": np.ones(2)}, {"format": "pt"})}
    target = tmp_path / "deep" / "er"
    assert write_directory(target, files) == [target / name for name in files]
    assert sorted(path.name for path in target.iterdir()) == sorted(files)
    assert (target / "a.txt").read_text(encoding="utf-8") == "é"
    assert list(json.loads((target / "c.json").read_text())) == ["b", "a"]
    assert (target / "d").read_text() == "copied"
    np.testing.assert_array_equal(load_file(target / "e.safetensors")["x"], np.ones(2))
    assert [path.name for path in target.parent.iterdir()] == ["er"]


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    write_directory(tmp_path / "empty", {"a": as_text("a")})
    assert (tmp_path / "empty" / "a").read_text() == "a"


def test_all_files_may_be_read_by_whom_the_folder_lets_in(tmp_path):
    before = os.umask(0o022)
    try:
        for path in write_directory(tmp_path / "x", {"a": as_arrays({"x": np.ones(2)}, {}), "b": as_text("b")}):
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize("is_fixed", [False, True])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError("No space left on device"), InputError),
        (SafetensorError("I/O error: No space left on device"), InputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, failure, raised, is_fixed):
    def fail(path):
        path.write_text("half")
        raise failure

    target = tmp_path / "x" if is_fixed else tmp_path / "deep" / "x"
    if is_fixed:
        target.mkdir()
        monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(raised) as error:
        write_directory(target, {"a": as_text("a"), "b": fail})
    if raised is InputError:
        assert "x cannot be written (" in str(error.value)
        assert "No space left on device)" in str(error.value)
    assert list(tmp_path.rglob("*")) == ([target] if is_fixed else [])


def test_a_folder_that_cannot_be_replaced_is_filled_as_it_stands(tmp_path, monkeypatch):
    target = tmp_path / "mounted"
    target.mkdir()
    before = target.stat().st_ino
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    write_directory(target, {"a": as_text("a"), "b": as_text("b")})
    assert target.stat().st_ino == before
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a": "a", "b": "b"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_name_too_long_for_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be written .*File name too long"):
        write_directory(tmp_path / ("a" * 300), {"a": as_text("a")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["checkpoints/99", "checkpoints/40/exported", "link/99"])
def test_nothing_is_put_among_the_checkpoints_of_a_run(tmp_path, below):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "link").symlink_to("checkpoints")
    check_directory(tmp_path / below)
    (tmp_path / "manifest.json").touch()
    with pytest.raises(InputError, match="is among the checkpoints of a run; give another folder"):
        check_directory(tmp_path / below)
    check_directory(tmp_path / "exported")


def test_a_directory_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(InputError, match="is not empty; give a folder that is new or empty"):
        write_directory(tmp_path, {"a": as_text("a")})
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_is_no_directory(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file, not a folder"):
        check_directory(tmp_path / "file" / below)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "a\\b", "..", ".", "", "a\0b"])
def test_a_name_that_climbs_out_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="climbs out of"):
        write_directory(tmp_path / "x", {"a": as_text("a"), name: as_text("b")})
    assert list(tmp_path.iterdir()) == []
