import os
import subprocess
import sys

import pytest

from tlj import huge_pages
from tlj.huge_pages import with_huge_pages


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """A kernel that gives huge pages to who asks; writing to the file makes it another."""
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")
    monkeypatch.setattr(huge_pages, "_SETTING", setting)
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    return setting


def test_an_environment_asks_for_huge_pages(kernel):
    assert with_huge_pages({"A": "b"}) == {"A": "b", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def test_other_tunables_stay(kernel):
    told = with_huge_pages({"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"})
    assert told == {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"}


def test_what_the_user_says_of_them_stays(kernel):
    assert with_huge_pages({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}) == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}


@pytest.mark.parametrize("enabled", ["[always] madvise never\n", "always madvise [never]\n"])
def test_nothing_is_asked_of_a_kernel_that_does_as_it_likes(kernel, enabled):
    kernel.write_text(enabled)
    assert with_huge_pages({}) == {}


def test_nothing_is_asked_where_there_is_no_such_kernel_or_library(kernel, monkeypatch):
    monkeypatch.setattr(os, "confstr", lambda name: None)
    assert with_huge_pages({}) == {}
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    kernel.unlink()
    assert with_huge_pages({}) == {}


def test_a_process_begins_once_more_with_its_words_and_its_number(tmp_path):
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, sys\n"
        "from tlj import huge_pages\n"
        f"huge_pages._SETTING = pathlib.Path({str(setting)!r})\n"
        "os.confstr = lambda name: 'glibc 2.36'\n"
        "print(os.getpid(), os.environ.get('GLIBC_TUNABLES'), *sys.argv[1:])\n"
        "huge_pages.begin_with_huge_pages()\n"
    )
    bare = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | {"PYTHONPATH": os.getcwd()}
    told = subprocess.run([sys.executable, str(script), "a b"], env=bare, capture_output=True, text=True, check=True)
    first, second = told.stdout.splitlines()
    process = first.split()[0]
    assert [first, second] == [f"{process} None a b", f"{process} glibc.malloc.hugetlb=1 a b"]
