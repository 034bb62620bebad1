"""The account of a load."""

import json

import numpy as np
import pytest

from tlj.pretrained.files.weight_file import DTYPES
from tlj.pretrained.load_report import LoadedLeaf, LoadReport, array_hash

REPORT = LoadReport(
    (
        LoadedLeaf("params/backbone/a/kernel", "loaded", "a/weight", (2, 3), "abc"),
        LoadedLeaf("params/backbone/b/kernel", "loaded", "b/weight", (3,), "def"),
        LoadedLeaf("params/head/kernel", "reset", "", (3, 5), ""),
    )
)


def test_a_report_prints_as_one_line_of_counts():
    assert str(REPORT) == "3 leaves: 2 loaded, 1 reset"
    assert str(LoadReport(())).startswith("0 leaves")


def test_what_is_ignored_is_counted_but_is_no_leaf_of_the_model():
    ignored = LoadedLeaf("", "ignored", "cls.bias", (5,), "eee", "another task's head")
    resized = LoadedLeaf("params/position", "resized", "pos", (1, 5, 4), "fff", "bicubic from 4x4 to 2x2")
    assert str(LoadReport((*REPORT.leaves, ignored, resized))) == "4 leaves: 2 loaded, 1 resized, 1 reset, 1 ignored"


def test_every_leaf_is_a_row_that_json_gives_back():
    rows = REPORT.rows()
    assert json.loads(json.dumps(rows)) == rows
    assert [row["path"] for row in rows] == [leaf.path for leaf in REPORT.leaves]
    assert rows[0] == {
        "path": "params/backbone/a/kernel",
        "status": "loaded",
        "source": "a/weight",
        "shape": [2, 3],
        "hash": "abc",
        "note": "",
    }


def test_hash_is_of_the_values_and_not_of_their_layout():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert array_hash(values) == array_hash(np.asfortranarray(values)) == array_hash(values.copy())
    assert array_hash(values) != array_hash(values + 1)
    assert array_hash(np.zeros(2, np.float32)) != array_hash(-np.zeros(2, np.float32))


@pytest.mark.parametrize("dtype", [*DTYPES.values()], ids=str)
def test_an_array_of_every_type_that_a_file_may_hold_has_a_hash(dtype):
    values = np.zeros((2, 3), dtype)
    assert array_hash(values) == array_hash(values.view(np.uint8)) != array_hash(np.ones((2, 3), dtype))
    assert array_hash(np.zeros((), dtype)) == array_hash(np.zeros(1, dtype))
    assert array_hash(np.zeros((0, 3), dtype)) == array_hash(np.zeros(0, np.float32))
