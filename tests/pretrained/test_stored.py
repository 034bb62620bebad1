"""One checkpoint on disk."""

import shutil

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.find_checkpoint import find_checkpoint
from tlj.pretrained.inventory import INVENTORY, MARK
from tlj.pretrained.runs import read_run, read_variables

EMA = {"optimizer": {"ema": 0.5}}


@pytest.fixture(scope="module")
def averaged_run(train_source, tmp_path_factory):
    """A run that keeps averages and is evaluated with them."""
    values = {**EMA, "evaluate": {"ema": True}}
    return train_source(tmp_path_factory.mktemp("averaged") / "source", "vit", **values)


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture
def copy(vit_run, tmp_path):
    """A run of one checkpoint that may be changed, and the folder of that."""
    run = shutil.copytree(vit_run, tmp_path / "run")
    return run, run / "checkpoints" / "3"


def test_what_a_checkpoint_says_of_itself_is_read_without_its_arrays(copy, vit_run):
    run, checkpoint = copy
    shutil.rmtree(checkpoint / "state")
    stored = find_checkpoint(run)
    assert stored.metadata["record"]["phase"]["starts"] == [0]
    assert stored.metadata["metrics"].keys() >= {"validation_loss", "validation_accuracy"}
    assert stored.about["config"]["model"]["family"] == stored.about["manifest"]["model"]["family"] == "vit"
    assert str(stored) == "the checkpoint of step 3"


def test_the_sample_ids_stay_in_the_manifest_of_the_run(vit_run):
    told = str(find_checkpoint(vit_run).about)
    assert "'classes'" in told
    assert "digits/" not in told


def test_what_it_holds_is_told_by_field_and_path(vit_run):
    shapes = find_checkpoint(vit_run).shapes
    assert shapes["params"]["head/kernel"].shape == (16, 5)
    assert shapes["params"].keys() == flat(read_variables(vit_run)[0]["params"]).keys()
    moments = [path for path in shapes["opt_state"] if path.endswith("/head/kernel")]
    assert len(moments) == 2
    assert (list(shapes["step"]), shapes["batch_stats"]) == ([""], {})


def test_averages_stand_in_for_the_parameters_where_the_run_was_evaluated_with_them(averaged_run):
    stored = find_checkpoint(averaged_run)
    raw, averages = flat(stored.variables(ema=False)["params"]), flat(stored.variables(ema=True)["params"])
    assert raw.keys() == averages.keys() == stored.shapes["ema"].keys()
    assert all(np.any(raw[path] != averages[path]) for path in raw if path.endswith("kernel"))
    assert leaf_digests(stored.variables()["params"]) == leaf_digests(averages)
    assert leaf_digests(read_run(averaged_run).variables["params"]) == leaf_digests(averages)


def test_averages_that_the_run_was_not_evaluated_with_are_given_where_asked_for(train_source, tmp_path):
    stored = find_checkpoint(train_source(tmp_path / "run", "vit", **EMA))
    assert stored.metadata["evaluated"] == "params"
    assert leaf_digests(stored.variables()) == leaf_digests(stored.variables(ema=False))
    assert leaf_digests(stored.variables()) != leaf_digests(stored.variables(ema=True))


def test_averages_in_a_delta_are_those_of_the_whole_run(averaged_run, train_target, tmp_path):
    values = {**EMA, "evaluate": {"ema": True}, "strategy": "linear_probe", "init": "pretrained"}
    kept = [
        find_checkpoint(train_target(averaged_run, tmp_path / keep, "vit", **values, checkpoint={"keep": keep}))
        for keep in ("all", "trainable")
    ]
    for ema in (None, True, False):
        whole, delta = (leaf_digests(stored.variables(ema=ema)) for stored in kept)
        assert whole == delta
    assert {path.replace(".", "/") for path in kept[1].shapes["ema"]} == {"head/bias", "head/kernel"}
    raw, averages = (flat(kept[1].variables(ema=ema)["params"]) for ema in (False, True))
    assert {path for path in raw if np.any(raw[path] != averages[path])} == {"head/bias", "head/kernel"}


def test_averages_that_are_not_there_are_refused(vit_run, copy, retell):
    line = "the checkpoint of step 3 holds no averages of its parameters; leave ema out, or train with optimizer.ema"
    with pytest.raises(InputError, match=line):
        find_checkpoint(vit_run).variables(ema=True)
    retell(copy[1], evaluated="ema")
    with pytest.raises(InputError, match=line):
        read_variables(copy[0])


@pytest.mark.parametrize("told", [1, 3, None, "2"])
def test_another_version_is_refused_as_such(copy, retell, told):
    retell(copy[1], format=told)
    for reading in (lambda stored: stored.metadata, lambda stored: stored.variables(), lambda stored: stored.shapes):
        with pytest.raises(InputError, match=rf"written by another version of tlj \(format {told}, this one reads 2\)"):
            reading(find_checkpoint(copy[0]))


def test_one_from_before_there_was_a_format_is_of_another_version_and_not_damaged(copy):
    (copy[1] / INVENTORY).unlink()
    content = (copy[1] / MARK).read_text().replace('"format": 2, ', "")
    (copy[1] / MARK).write_text(content)
    with pytest.raises(InputError, match="format 1, this one reads 2"):
        read_variables(copy[0])


@pytest.mark.parametrize("about", [None, {}, [], {"config": 1, "manifest": {}}])
def test_one_that_does_not_tell_its_run_is_refused_where_that_is_asked_for(copy, retell, about):
    retell(copy[1], about=about)
    stored = find_checkpoint(copy[0])
    assert jax.tree.leaves(stored.variables())
    with pytest.raises(InputError, match="step 3 does not tell the config and the manifest of its run"):
        _ = stored.about


@pytest.mark.parametrize("damage", ["cut", "emptied", "gone"])
def test_damage_to_any_file_is_one_line_that_names_it_and_the_next_older_one(copy, damage, capfd):
    run, checkpoint = copy
    for older in ("1", "2"):
        shutil.copytree(checkpoint, run / "checkpoints" / older)
    for file in [file for file in checkpoint.rglob("*") if file.is_file()]:
        content = file.read_bytes()
        file.unlink()
        if damage != "gone":
            file.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
        with pytest.raises(InputError) as error:
            read_variables(run)
        name = file.relative_to(checkpoint).as_posix()
        start = f"{run}: the checkpoint of step 3 cannot be read: {name} "
        assert str(error.value).startswith(start)
        assert str(error.value).endswith("; use the next older one: --step=2, step=2 in Python, model.step in a config")
        file.write_bytes(content)
    # Orbax fills the screen where it is let at a damaged checkpoint.
    assert capfd.readouterr() == ("", "")
    assert read_variables(run)[1] == 3


def test_where_there_is_no_older_one_it_says_what_there_is(copy):
    run, checkpoint = copy
    (checkpoint / MARK).unlink()
    with pytest.raises(InputError, match="step 3 cannot be read: .*; get the run again$"):
        read_variables(run)
    (run / "checkpoints" / "9").mkdir()
    with pytest.raises(InputError, match="step 3 cannot be read: .*; use another one: 9$"):
        read_variables(run, 3)


def test_what_is_whole_and_still_cannot_be_read_is_one_line(copy, retell):
    run, checkpoint = copy
    metadata = checkpoint / "state" / "_METADATA"
    metadata.write_text(metadata.read_text()[:100])
    retell(checkpoint, format=2)
    with pytest.raises(InputError, match="the checkpoint of step 3 cannot be read: .*Error: .*; get the run again$"):
        read_variables(run)


def test_a_damaged_copy_by_itself_is_one_line_too(copy, tmp_path):
    moved = copy[1].rename(tmp_path / "copy")
    (moved / "state" / "manifest.ocdbt").write_bytes(b"")
    with pytest.raises(InputError, match=r"copy: this checkpoint cannot be read: state/manifest\.ocdbt has 0 bytes"):
        read_variables(moved)
