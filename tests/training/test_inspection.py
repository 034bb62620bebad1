import json
import shutil

import pytest

from tlj.errors import InputError
from tlj.training.inspection import format_inspection, inspect_run


def run_of(comparison, arm):
    return comparison[0] / "runs" / arm / "40" / "1"


def test_a_probe_moved_its_head_and_nothing_else(comparison):
    report = inspect_run(run_of(comparison, "linear_probe"))
    assert (report["step"], report["phase"], report["largest_frozen_change"]) == (24, 0, 0.0)
    moved = {row["depth"]: row["distance"] for row in report["moved_by_depth"]}
    assert [depth for depth, distance in moved.items() if distance > 0] == [3]
    assert {leaf["path"] for leaf in report["leaves"] if leaf["group"] != "frozen"} == {"head/kernel", "head/bias"}


@pytest.mark.parametrize("arm", ["scratch", "full", "full-from-mean_var"])
def test_what_trains_everything_moved_at_every_depth_from_its_own_init(comparison, arm):
    report = inspect_run(run_of(comparison, arm))
    assert [row["depth"] for row in report["moved_by_depth"]] == [0, 1, 2, 3]
    assert all(0 < row["relative"] < 1 for row in report["moved_by_depth"][:3])


def test_an_inspection_is_json_and_prints(comparison):
    report = json.loads(json.dumps(inspect_run(run_of(comparison, "last_blocks-1"))))
    text = format_inspection(report)
    assert "largest change of a frozen parameter: 0" in text
    assert len([line for line in text.splitlines() if line.endswith(("backbone", "head", "frozen"))]) == len(
        report["leaves"]
    )


def test_a_run_whose_source_is_gone_can_be_read_but_not_compared(comparison, tmp_path):
    shutil.copytree(run_of(comparison, "full"), tmp_path / "run")
    report = inspect_run(tmp_path / "run")
    assert (report["largest_frozen_change"], report["moved_by_depth"]) == (None, None)
    assert len(report["leaves"]) > 10
    assert "what moved cannot be told" in format_inspection(report)


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(InputError, match="no run of tlj here"):
        inspect_run(tmp_path)


def test_another_source_at_the_same_place_is_not_taken_for_the_runs_own(comparison, tmp_path):
    shutil.copytree(run_of(comparison, "full"), tmp_path / "runs" / "full")
    shutil.copytree(run_of(comparison, "scratch"), tmp_path / "source")
    assert inspect_run(tmp_path / "runs" / "full")["moved_by_depth"] is None


@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_a_broken_file_of_a_run_is_one_clear_line(comparison, tmp_path, name):
    shutil.copytree(run_of(comparison, "scratch"), tmp_path / "run")
    (tmp_path / "run" / name).write_text("{")
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        inspect_run(tmp_path / "run")
