"""Two real starts of one run: the second takes its programs from the cache, and the parts add up."""

import os

import pytest

from tlj.benchmark.start_time import format_start_times, start_times
from tlj.data.cache import VARIABLE

CONFIG = """
def get_config(arg=None):
    settings = {"patch_size": 4, "width": 8, "depth": 1, "heads": 1}
    run = {"strategy": "linear_probe", "init": "scratch", "steps": 3, "global_batch_size": 8}
    return {"model": {"family": "vit", "settings": settings}, "data": {"source": "digits"}, **run}
"""


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "tiny.py"
    config.write_text(CONFIG)
    before = os.environ.get(VARIABLE)
    yield start_times([f"--config={config}"])
    assert os.environ.get(VARIABLE) == before


def test_the_second_start_takes_its_programs_from_the_cache(starts):
    first, second = starts
    assert first["programs"] == second["programs"] > 1
    assert second["parts"]["compiling"] < first["parts"]["compiling"] / 2


def test_the_parts_of_a_start_add_up_to_when_the_first_step_was_reached(starts):
    for start in starts:
        assert min(start["parts"].values()) >= 0
        assert sum(start["parts"].values()) == pytest.approx(start["reached"])
        assert start["done"] > start["reached"]


def test_a_start_that_ends_without_a_step_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="tlj: .*nothing.py"):
        start_times([f"--config={tmp_path}/nothing.py"])


def test_two_starts_are_printed_side_by_side_with_their_ratio():
    first = {"parts": {"imports": 1.0, "compiling": 8.0}, "reached": 9.0, "done": 10.0}
    second = {"parts": {"imports": 1.0, "compiling": 1.0}, "reached": 2.0, "done": 2.5}
    lines = format_start_times(first, second).splitlines()
    assert lines[2].split() == ["compiling", "8.00", "s", "1.00", "s"]
    assert lines[3].endswith("9.00 s    2.00 s   4.50 times sooner")
    assert lines[4].endswith("4.00 times sooner")
