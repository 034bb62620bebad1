import json
import shutil

import jax
import jax.numpy as jnp
import pytest
from orbax.checkpoint import v1 as ocp

from tlj.pretrained.inventory import INVENTORY, find_damage, read_metadata, take_inventory

METADATA = {"format": 2, "metrics": {"validation_loss": 0.1 + 0.2}, "about": {"name": "häß"}}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint of Orbax's, with its inventory, of a few leaves."""
    folder = tmp_path_factory.mktemp("inventory") / "checkpoints" / "12"
    tree = {"step": jnp.int32(12), "params": {"kernel": jax.random.normal(jax.random.key(0), (64, 64))}}
    ocp.save(folder, tree, custom_metadata=METADATA)
    take_inventory(folder, METADATA)
    # In a run it is taken before Orbax commits, and that file is not in it.
    told = json.loads((folder / INVENTORY).read_text())
    del told["files"]["commit_success.txt"]
    (folder / INVENTORY).write_text(json.dumps(told))
    return folder


@pytest.fixture
def checkpoint(written, tmp_path):
    return shutil.copytree(written, tmp_path / "elsewhere" / "12")


def test_a_checkpoint_as_it_was_written_is_not_damaged_wherever_it_lies(written, checkpoint):
    assert find_damage(written) == find_damage(checkpoint) == ""
    assert read_metadata(checkpoint) == METADATA


def _halve(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b""), _halve])
def test_every_file_that_is_gone_or_emptied_or_cut_in_half_is_noticed_and_named(checkpoint, tmp_path, damage):
    files = [path.relative_to(checkpoint) for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) > 5
    for file in files:
        copy = shutil.copytree(checkpoint, tmp_path / "copy" / "12")
        damage(copy / file)
        assert file.as_posix() in find_damage(copy)
        shutil.rmtree(copy)


def test_a_changed_bit_of_an_array_is_noticed_where_orbax_reads_another_number(checkpoint):
    largest = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    _flip(largest)
    assert find_damage(checkpoint) == f"{largest.relative_to(checkpoint).as_posix()} is not as it was written"


def test_other_custom_metadata_than_those_written_are_noticed(checkpoint):
    path = checkpoint / "_CHECKPOINT_METADATA"
    said = json.loads(path.read_text())
    said["custom_metadata"]["metrics"]["validation_loss"] = 0.3
    path.write_text(json.dumps(said))
    assert "_CHECKPOINT_METADATA" in find_damage(checkpoint)


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": [], "metadata": 1}', '{"files": {"a": 1}, "metadata": 1}'])
def test_an_inventory_that_is_none_is_damage_and_no_traceback(checkpoint, content):
    (checkpoint / INVENTORY).write_text(content)
    assert INVENTORY in find_damage(checkpoint)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"custom_metadata": 1}', '{"custom_metadata": null}'])
def test_metadata_that_cannot_be_read_are_none(tmp_path, content):
    assert read_metadata(tmp_path) is None
    (tmp_path / "_CHECKPOINT_METADATA").write_text(content)
    assert read_metadata(tmp_path) is None


def test_a_file_that_came_later_is_no_damage(checkpoint):
    (checkpoint / ".nfs0001").write_text("left by a file system")
    assert find_damage(checkpoint) == ""


def test_a_copy_under_a_name_that_is_no_step_is_whole_and_its_damage_is_noticed_all_the_same(written, tmp_path):
    copy = shutil.copytree(written, tmp_path / "kept")
    assert find_damage(copy) == ""
    (copy / "commit_success.txt").write_text("")
    assert "commit_success.txt" in find_damage(copy)
