"""``tlj.restore``."""

import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import tlj
from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.runs import read_variables
from tlj.training.inspection import inspect_run

# Reads a checkpoint onto eight devices, every leaf that can be split over them, and writes it from there.
ON_EIGHT = """
import pathlib, sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp
from tlj.pretrained.inventory import take_inventory
source, target = map(pathlib.Path, sys.argv[1:])
mesh = Mesh(np.array(jax.devices()), ("fsdp",))
def split(leaf):
    axes = ["fsdp" if size % 8 == 0 else None for size in leaf.shape]
    first = [axis if axis and not any(axes[:i]) else None for i, axis in enumerate(axes)]
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, PartitionSpec(*first)))
described = ocp.metadata(source)
state = ocp.load(source, jax.tree.map(split, described.metadata))
assert len({str(shard.index) for shard in state["params"]["head"]["kernel"].addressable_shards}) == 8
with ocp.training.Checkpointer(target) as checkpointer:
    checkpointer.save(3, state, force=True, custom_metadata=described.custom_metadata)
take_inventory(target / "3", described.custom_metadata)
"""


def test_parameters_are_plain_nested_arrays_and_the_step_may_be_chosen(resnet_run):
    params = tlj.restore(resnet_run)
    assert type(params) is dict
    assert {type(leaf) for leaf in jax.tree.leaves(params)} == {np.ndarray}
    assert params.keys() == {"backbone", "head"}
    assert leaf_digests(params) == leaf_digests(read_variables(resnet_run)[0]["params"])
    assert leaf_digests(tlj.restore(str(resnet_run), step=3)) == leaf_digests(params)
    with pytest.raises(InputError, match="no checkpoint of step 2; use one of 3$"):
        tlj.restore(resnet_run, step=2)


def test_statistics_come_where_they_are_asked_for(resnet_run, vit_run):
    whole = tlj.restore(resnet_run, statistics=True)
    assert whole.keys() == {"params", "batch_stats"}
    assert leaf_digests(whole) == leaf_digests(read_variables(resnet_run)[0])
    assert tlj.restore(vit_run, statistics=True)["batch_stats"] == {}


def test_a_checkpoint_by_itself_is_enough(vit_run, tmp_path):
    copy = shutil.copytree(vit_run / "checkpoints" / "3", tmp_path / "copy")
    assert leaf_digests(tlj.restore(copy)) == leaf_digests(tlj.restore(vit_run))


@pytest.mark.parametrize("step", ["first", 1.0, True, "3"])
def test_what_is_no_step_is_refused(vit_run, step):
    with pytest.raises(InputError, match=r'tlj\.restore: no step .*; give a number, "best", or None for the latest'):
        tlj.restore(vit_run, step)


def test_a_folder_that_is_not_there_is_refused_with_the_nearest(vit_run):
    with pytest.raises(InputError, match="no such folder; did you mean '.*/source'"):
        tlj.restore(f"{vit_run}s")


def test_what_eight_devices_wrote_is_whole_on_one(vit_run, tmp_path):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}
    folders = [str(vit_run / "checkpoints" / "3"), str(tmp_path / "checkpoints")]
    subprocess.run([sys.executable, "-c", ON_EIGHT, *folders], env=environment, check=True, timeout=120)
    assert leaf_digests(tlj.restore(tmp_path)) == leaf_digests(tlj.restore(vit_run))
    ours, theirs = inspect_run(tmp_path), inspect_run(vit_run)
    assert ours["bytes"].pop("on_disk") != theirs["bytes"].pop("on_disk")
    assert ours == theirs
