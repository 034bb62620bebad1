"""Files and splits of a table."""

import os

import pytest

from tlj.data.origins.table_files import table_files
from tlj.errors import InputError


@pytest.fixture
def folder(written, tmp_path):
    def make(*names):
        for name in names:
            written(name, "x")
        return str(tmp_path)

    return make


def test_a_file_has_no_split_whatever_its_suffix(folder):
    path = folder("a.txt") + "/a.txt"
    assert [(part, file.name) for part, file in table_files(path, "csv")] == [("", "a.txt")]


def test_files_of_a_folder_are_splits_and_shards_join_in_order(folder):
    path = folder("test.csv", "train-00001-of-00002.csv", "train-00000-of-00002.csv", "notes.md", ".train.csv")
    assert [(part, file.name) for part, file in table_files(path, "csv")] == [
        ("test", "test.csv"),
        ("train", "train-00000-of-00002.csv"),
        ("train", "train-00001-of-00002.csv"),
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002.csv",),
        ("train-00000-of-00001.csv", "train.csv"),
        ("train-00000-of-00002.csv", "train-00001-of-00003.csv"),
    ],
)
def test_shards_that_do_not_make_a_whole_are_an_error(folder, names):
    with pytest.raises(InputError, match="the split 'train' is not in one file or in all shards"):
        table_files(folder(*names), "csv")


def test_a_path_that_does_not_exist_comes_with_the_nearest(folder):
    with pytest.raises(InputError, match=r"does not exist; did you mean 'train\.csv'\?"):
        table_files(folder("train.csv") + "/trian.csv", "csv")
    with pytest.raises(InputError, match="no path is given"):
        table_files("", "csv")


def test_a_folder_without_such_files_lists_what_it_has(folder):
    with pytest.raises(InputError, match=r"no file NAME\.csv; it holds a\.tsv"):
        table_files(folder("a.tsv"), "csv")


def test_a_pipe_is_one_line_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.csv: is neither a file nor a folder"):
        table_files(str(tmp_path / "a.csv"), "csv")


@pytest.mark.parametrize("path", ["x" * 5000, "~nobody-of-that-name/a.csv"])
def test_a_path_that_cannot_be_is_one_line(path):
    with pytest.raises(InputError, match="config.data.source: "):
        table_files(path, "csv")
