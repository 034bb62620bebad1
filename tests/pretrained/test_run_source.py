"""The source of a run, found again."""

import json
import shutil

import pytest

from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.pretrained import run_source
from tlj.pretrained.run_source import open_source_of_run, places_of_source, read_run_file
from tlj.pretrained.runs import read_run


def test_a_path_is_relative_to_what_holds_the_run_and_then_to_where_one_stands(tmp_path, monkeypatch):
    run, here = tmp_path / "comparison" / "runs" / "full" / "10" / "0", tmp_path / "here"
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "comparison" / "runs")
    assert places_of_source(run, "source") == ()
    for folder in (here, tmp_path, tmp_path / "comparison"):
        (folder / "source").mkdir(parents=True)
    monkeypatch.chdir(here)
    expected = (tmp_path / "comparison" / "source", tmp_path / "source", here / "source")
    assert places_of_source(run, "source") == tuple(map(str, expected))


def test_an_absolute_path_is_one_place(tmp_path):
    (tmp_path / "run").mkdir()
    assert places_of_source(tmp_path / "run", str(tmp_path)) == (str(tmp_path),)
    assert places_of_source(tmp_path / "run", str(tmp_path / "gone")) == ()


def test_a_run_without_a_source_has_no_place(tmp_path):
    assert places_of_source(tmp_path, "") == ()


def test_a_home_directory_is_spelled_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert places_of_source(tmp_path / "run", "~/model") == (str(tmp_path / "model"),)


def test_a_hub_id_is_a_place_where_no_file_has_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(run_source, "is_hub_id", lambda source: source == "owner/name")
    assert places_of_source(tmp_path / "run", "owner/name") == ("owner/name",)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert places_of_source(tmp_path / "run", "owner/name") == (str(tmp_path / "owner" / "name"),)


def test_a_source_is_opened_with_what_the_config_says_beside_its_place(vit_run, target_setup):
    model = {**target_setup(vit_run, "vit").config["model"], "settings": {"dropout": 0.25}}
    found = open_source_of_run(str(vit_run), model)
    assert found.spec.dropout == 0.25
    assert leaf_digests(found.variables) == leaf_digests(read_run(vit_run).variables)
    with pytest.raises(InputError, match="no checkpoint of step 2"):
        open_source_of_run(str(vit_run), {**model, "step": 2})


def test_a_config_of_an_older_version_says_less_and_is_read_all_the_same(vit_run):
    assert open_source_of_run(str(vit_run), {"family": "vit", "source": "source"}).step == 3


@pytest.mark.parametrize("content", ["[]", "null", "1", '"run"'])
def test_a_file_that_holds_no_object_is_refused_by_name(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="config.json: not a JSON object"):
        read_run_file(tmp_path, "config.json")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_a_file_that_is_no_json_is_refused_by_name(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="config.json: cannot be read"):
        read_run_file(tmp_path, "config.json")


def test_a_file_that_is_missing_is_refused_by_name(vit_run, tmp_path):
    run = shutil.copytree(vit_run, tmp_path / "run")
    assert read_run_file(run, "config.json") == json.loads((run / "config.json").read_text())
    (run / "config.json").unlink()
    with pytest.raises(InputError, match="config.json: cannot be read"):
        read_run_file(run, "config.json")
