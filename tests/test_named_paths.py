import pathlib

import pytest

from tlj.errors import InputError
from tlj.named_paths import check_file, check_workdir, existing_folder, named_path


def test_a_workdir_may_be_one_that_is_still_to_be_made(tmp_path):
    check_workdir(str(tmp_path / "a" / "b"), "train")
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_must_be_given(tmp_path):
    with pytest.raises(InputError, match="train: no workdir; give --workdir=DIR"):
        check_workdir("", "train")


def test_a_workdir_below_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken is a file, not a folder"):
        check_workdir(str(tmp_path / "taken" / "deeper"), "train")


def test_a_file_may_be_new_or_written_over_and_is_not_touched(tmp_path):
    check_file(tmp_path / "new.json", "--json")
    assert not (tmp_path / "new.json").exists()
    (tmp_path / "old.json").write_text("old")
    check_file(tmp_path / "old.json", "--json")
    assert (tmp_path / "old.json").read_text() == "old"


def test_a_file_in_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="--json: no folder .*nowhere; make it"):
        check_file(tmp_path / "nowhere" / "a.json", "--json")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="--json: .* cannot be written"):
        check_file(tmp_path, "--json")


def test_a_folder_that_is_there_is_returned(tmp_path):
    assert existing_folder(tmp_path, "report") == tmp_path


def test_a_folder_that_is_not_there_names_the_nearest(tmp_path):
    (tmp_path / "digits").mkdir()
    with pytest.raises(InputError) as error:
        existing_folder(tmp_path / "digit", "report")
    assert (error.value.nearest, error.value.what) == (str(tmp_path / "digits"), "no such folder")
    with pytest.raises(InputError, match="no such folder; see `tlj report --help`"):
        existing_folder(pathlib.Path("/nowhere/at/all"), "report")


def test_a_path_may_begin_at_home_or_name_a_user_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_path("~/a", "--to") == tmp_path / "a"
    assert named_path("~nobody-of-that-name/a", "--to") == pathlib.Path("~nobody-of-that-name/a")


def test_a_path_that_is_too_long_is_one_short_line():
    with pytest.raises(InputError, match=r"--to: 'x{57}\.\.\.': File name too long; give another path"):
        named_path("x" * 5000, "--to")
    with pytest.raises(InputError, match="File name too long"):
        check_workdir("x" * 5000, "train")
    with pytest.raises(InputError, match="File name too long"):
        existing_folder(pathlib.Path("x" * 5000), "predict")
