"""From what a user names as a source to the source."""

import shutil

import numpy as np
import pytest

import tlj
from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.locate import locate, read_source, run_of


def test_a_path_is_looked_for_beside_the_base_first_and_then_from_here(tmp_path, monkeypatch):
    for folder in ("base", "here"):
        (tmp_path / folder / "source").mkdir(parents=True)
    (tmp_path / "here" / "other").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert locate("source", tmp_path / "base") == tmp_path / "base" / "source"
    assert locate("other", tmp_path / "base").samefile(tmp_path / "here" / "other")
    assert locate(str(tmp_path / "here"), "nowhere") == tmp_path / "here"


def test_a_home_directory_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    assert locate("~/weights") == tmp_path / "weights"


def test_what_is_not_there_is_refused_with_the_nearest_name(tmp_path):
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(InputError, match=r"nothing here: .*chekpoint\.npz.*did you mean .*checkpoint\.npz"):
        locate(tmp_path / "chekpoint.npz")


def test_a_name_too_long_for_a_file_is_not_there(tmp_path):
    with pytest.raises(InputError, match="nothing here"):
        locate("a" * 300, tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"not a checkpoint that tlj reads: notes\.txt"):
        read_source(tmp_path / "notes.txt")


def test_a_comparison_is_not_one_run(tmp_path):
    for name in ("comparison.json", "config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="a comparison, which is many runs; name one of them, such as .*source or"):
        read_source(tmp_path)


def test_a_step_is_of_a_run(tmp_path):
    with pytest.raises(InputError, match="step 3 of something that is no run"):
        read_source(tmp_path, step=3)


def test_a_run_may_be_named_by_one_of_its_checkpoints(vit_run):
    assert run_of(vit_run) == (vit_run, None)
    assert run_of(vit_run / "checkpoints" / "3") == (vit_run, 3)
    assert run_of(vit_run / "checkpoints") is None
    whole, one = tlj.load(vit_run), tlj.load(vit_run / "checkpoints" / "3")
    assert leaf_digests(whole.variables) == leaf_digests(one.variables)


def test_a_checkpoint_has_no_other_step_and_a_run_lacks_nothing(vit_run):
    with pytest.raises(InputError, match="step 'best' of the checkpoint of step 3"):
        read_source(vit_run / "checkpoints" / "3", step="best")
    with pytest.raises(InputError, match="a run of tlj lacks nothing, so head.bias cannot be missing"):
        read_source(vit_run, allow_missing=["head.bias"])


def test_a_run_keeps_its_class_names_and_its_step(vit_run):
    source = read_source(vit_run)
    assert (source.classes, source.step) == (("0", "1", "2", "3", "4"), 3)
    assert tlj.load(vit_run).classes == source.classes
    assert tlj.load(vit_run, num_classes=5).classes == ()


def test_a_run_is_another_source_when_its_manifest_is(vit_run, other_vit_run, tmp_path):
    shutil.copytree(vit_run, tmp_path / "copy")
    assert read_source(vit_run).identity == read_source(tmp_path / "copy").identity
    assert read_source(vit_run).identity != read_source(other_vit_run).identity


def test_a_run_at_another_resolution_is_loaded_with_its_positions_resized(vit_run):
    model = tlj.load(vit_run, image_size=16)
    assert model(np.zeros((1, 16, 16, 3), np.float32)).shape == (1, 5)
    assert [row.note for row in model.report.leaves if row.status == "resized"] == ["bicubic from 2x2 to 4x4"]
