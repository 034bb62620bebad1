"""The files that screening writes, read."""

import json

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.evidence.screening.files import read_drift, read_screening


def test_a_comparison_that_was_not_screened_has_nothing(tmp_path):
    assert read_screening(tmp_path) is None
    assert read_drift(tmp_path) is None


def test_features_come_by_init_and_those_of_the_source_apart(screened):
    directory = screened()
    files = read_screening(directory)
    assert read_drift(directory)["twin"] == "scratch"
    assert sorted(files.inits) == ["mean_var", "pretrained", "scratch"]
    assert files.source.features.shape == files.inits["scratch"].features.shape == (60, 8)
    np.testing.assert_array_equal(files.inits["scratch"].labels, files.inits["pretrained"].labels)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("damage", ["cut", "pickle", "rows", "integers"])
def test_a_file_that_cannot_be_used_is_one_line(screened, feature_file, capsys, damage):
    directory = screened()
    path = directory / "screening" / "scratch.npz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "pickle":
        with path.open("wb") as file:
            np.savez(file, features=np.array([Evil()], object), labels=np.zeros(1))
    elif damage == "rows":
        feature_file(path, np.zeros((3, 2)), np.zeros(4, np.int32))
    else:
        with path.open("wb") as file:
            np.savez(file, features=np.zeros((3, 2), np.int32), labels=np.zeros(3, np.int32))
    with pytest.raises(InputError, match=r"scratch\.npz.*remove this file"):
        read_screening(directory)
    assert "executed" not in capsys.readouterr().out


def test_features_that_were_not_kept_are_missing_and_the_others_are_read(screened):
    directory = screened()
    (directory / "screening" / "source.npz").unlink()
    (directory / "screening" / "scratch.npz").unlink()
    found = read_screening(directory)
    assert found.missing == ("scratch", "source")
    assert (set(found.inits), found.source) == ({"mean_var", "pretrained"}, None)


def test_inits_of_other_examples_are_refused(screened, feature_file):
    directory = screened()
    feature_file(directory / "screening" / "scratch.npz", np.zeros((60, 8)), np.zeros(60, np.int32))
    with pytest.raises(InputError, match="other examples"):
        read_screening(directory)


def test_names_that_leave_the_folder_are_not_followed(screened):
    directory = screened()
    path = directory / "screening" / "screening.json"
    told = json.loads(path.read_text())
    told["files"]["../evil"] = {}
    path.write_text(json.dumps(told))
    assert sorted(read_screening(directory).inits) == ["mean_var", "pretrained", "scratch"]
