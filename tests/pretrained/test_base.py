"""Runs that keep a delta, read as if they had kept everything."""

import dataclasses
import os
import shutil

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

import tlj
from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.base import Base, base_digest, complete_params
from tlj.pretrained.find_checkpoint import find_checkpoint
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import read_run, read_variables

DELTA = {"every": 0, "latest": 2, "keep": "trainable"}
CASES = {
    "probe": ("vit", {"strategy": "linear_probe", "init": "pretrained"}),
    "reset blocks": ("vit", {"strategy": "copy_freeze:1", "init": "pretrained"}),
    "frozen redrawn": ("vit", {"strategy": "linear_probe", "init": "mean_var"}),
    "random features": ("vit", {"strategy": "linear_probe", "init": "scratch", "seed": 7}),
    "adapters": ("vit", {"strategy": "lora:2", "init": "pretrained"}),
    "statistics": ("resnet", {"strategy": "last_blocks:1", "init": "pretrained"}),
}


@pytest.fixture(scope="module")
def source(vit_run, resnet_run, tmp_path_factory):
    """A folder that holds a source of each family, for runs beside them that name them by a relative path."""
    folder = tmp_path_factory.mktemp("workdir")
    for family, run in (("vit", vit_run), ("resnet", resnet_run)):
        shutil.copytree(run, folder / family)
    return folder


@pytest.fixture(scope="module", params=CASES)
def pair(request, source, train_target):
    """A run that keeps everything, and the same one that keeps a delta."""
    family, values = CASES[request.param]
    name = request.param.replace(" ", "_")
    whole = train_target(family, source / f"{name}-whole", family, **values)
    return whole, train_target(family, source / f"{name}-delta", family, **values, checkpoint=DELTA)


@pytest.fixture(scope="module")
def probe(source, train_target):
    """A probe of the ViT that keeps a delta."""
    return train_target("vit", source / "probe", "vit", strategy="linear_probe", init="pretrained", checkpoint=DELTA)


@pytest.fixture
def moved(probe, tmp_path):
    """The probe and its source in another place, where they may be changed."""
    shutil.copytree(probe.parent / "vit", tmp_path / "vit")
    return shutil.copytree(probe, tmp_path / "probe")


def base_of(run):
    return Base.from_json(find_checkpoint(run, 3).metadata["base"], str(run))


def test_a_delta_reads_as_the_whole_run(pair):
    whole, delta = pair
    assert leaf_digests(read_variables(delta)[0]) == leaf_digests(read_variables(whole)[0])
    assert leaf_digests(read_run(delta).variables) == leaf_digests(read_run(whole).variables)
    # What it did not need is not in it.
    held = {run: ocp.metadata(run / "checkpoints" / "3").metadata["params"] for run in pair}
    assert len(jax.tree.leaves(held[delta])) < len(jax.tree.leaves(held[whole]))
    assert len(jax.tree.leaves(read_variables(whole)[0]["params"])) == len(jax.tree.leaves(held[whole]))


def test_a_delta_is_a_model_like_any_other(pair):
    whole, delta = pair
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(tlj.load(delta)(images), tlj.load(whole)(images))


def test_a_delta_and_its_source_may_move_together(probe, moved):
    assert leaf_digests(read_variables(moved)[0]) == leaf_digests(read_variables(probe)[0])


def test_a_delta_on_a_delta_reads_as_a_whole_run_too(moved, train_target):
    values = {"strategy": "last_blocks:1", "init": "pretrained", "checkpoint": DELTA}
    second = train_target("probe", moved.parent / "second", "vit", **values)
    ours, theirs = (leaf_digests(read_variables(run)[0]["params"]["backbone"]) for run in (second, moved))
    assert {path.split("/")[0] for path in ours if ours[path] != theirs[path]} == {"block1", "norm"}
    shutil.rmtree(moved.parent / "vit")
    with pytest.raises(InputError, match="nothing is left at that place"):
        read_variables(second)


def test_a_base_that_is_gone_is_named_with_its_hash(moved):
    shutil.rmtree(moved.parent / "vit")
    digest = base_of(moved).digest
    with pytest.raises(InputError, match=f"base with the hash {digest} .source 'vit', .*nothing is left at that place"):
        read_variables(moved)
    with pytest.raises(InputError, match=digest):
        tlj.load(moved)


def test_other_weights_at_the_same_place_are_refused_with_both_hashes(moved, other_vit_run):
    shutil.rmtree(moved.parent / "vit")
    shutil.copytree(other_vit_run, moved.parent / "vit")
    with pytest.raises(InputError, match=f"hash {base_of(moved).digest} .*/vit gives [0-9a-f]{{16}};"):
        read_variables(moved)


def test_a_source_of_another_architecture_is_refused_with_what_is_wrong(moved):
    shutil.rmtree(moved.parent / "vit")
    (moved.parent / "vit").mkdir()
    with pytest.raises(InputError, match=f"hash {base_of(moved).digest} .*not to be had: .*vit"):
        read_variables(moved)


def test_a_seed_that_is_not_the_runs_own_makes_another_base(train_target, tmp_path):
    values = {"strategy": "linear_probe", "init": "scratch", "seed": 7, "checkpoint": DELTA}
    run = train_target("", tmp_path / "run", "vit", **values)
    base, kept = base_of(run), {"head": read_variables(run)[0]["params"]["head"]}
    about = find_checkpoint(run).about
    assert complete_params(run, base, kept, about).keys() == {"head", "backbone"}
    with pytest.raises(InputError, match=f"hash {base.digest} .seed 8., .*the seed gives [0-9a-f]{{16}};"):
        complete_params(run, dataclasses.replace(base, seed=8), kept, about)


@pytest.mark.parametrize("copied", [None, 1])
def test_blocks_that_are_left_out_are_those_that_were_copied_or_made_anew(probe, copied):
    source = read_run(probe.parent / "vit")
    variables, _ = initial_variables("pretrained", source.spec, source, 5, copied=copied)
    backbone = leaf_digests({"backbone": variables["params"]["backbone"]})
    base = Base("pretrained", 5, copied, "vit", source.identity, base_digest(backbone))
    completed = complete_params(probe, base, {"head": variables["params"]["head"]}, find_checkpoint(probe).about)
    assert leaf_digests(completed["backbone"]) == leaf_digests(variables["params"]["backbone"])
    assert (leaf_digests(completed["backbone"]) == leaf_digests(source.variables["params"]["backbone"])) == (not copied)


def test_a_run_that_is_said_to_be_its_own_base_is_refused(moved):
    shutil.rmtree(moved.parent / "vit")
    (moved.parent / "vit").symlink_to(moved, target_is_directory=True)
    with pytest.raises(InputError, match="a delta that is its own base"):
        read_variables(moved)


def test_two_runs_that_are_said_to_be_each_others_base_are_refused(moved, retell):
    other = moved.parent / "vit"
    shutil.rmtree(other)
    shutil.copytree(moved, other)
    retell(other / "checkpoints" / "3", base__source=os.fspath(moved))
    with pytest.raises(InputError, match="a delta that is its own base"):
        read_variables(moved)


def test_a_delta_by_itself_is_read_on_a_source_that_it_can_reach(moved):
    whole = leaf_digests(read_variables(moved)[0])
    copy = shutil.copytree(moved / "checkpoints" / "3", moved.parent / "copy")
    shutil.rmtree(moved)
    assert leaf_digests(read_variables(copy)[0]) == whole


@pytest.mark.parametrize("model", [[1], {}, None])
def test_a_config_that_does_not_tell_the_model_is_refused(moved, retell, model):
    retell(moved / "checkpoints" / "3", about__config__model=model)
    with pytest.raises(InputError, match="the config in a delta checkpoint does not tell the model"):
        read_variables(moved)


@pytest.mark.parametrize("manifest", [{}, {"model": {}}, {"model": [1]}])
def test_a_manifest_that_does_not_tell_the_model_is_refused(moved, retell, manifest):
    retell(moved / "checkpoints" / "3", about__manifest=manifest)
    with pytest.raises(InputError, match="the manifest in a delta checkpoint does not tell the model"):
        read_variables(moved)


@pytest.mark.parametrize("content", [{}, None, [], {"digest": "1"}])
def test_a_base_that_is_half_told_is_refused(content):
    with pytest.raises(InputError, match="here: a delta checkpoint that does not tell copied, digest, identity"):
        Base.from_json(content, "here")


def test_a_digest_tells_paths_and_contents_apart_and_no_order():
    digest = base_digest({"a": "1", "b": "2"})
    assert digest == base_digest({"b": "2", "a": "1"})
    others = [{"a": "2", "b": "1"}, {"a": "1"}, {"a": "1", "c": "2"}, {"a": "1", "b": "3"}, {}]
    assert len({digest, *map(base_digest, others)}) == 1 + len(others)


def test_a_source_that_is_read_otherwise_is_another_base(moved, retell):
    assert isinstance(read_run(moved).preprocessing, Preprocessing)
    retell(moved / "checkpoints" / "3", about__config__model__step=2)
    with pytest.raises(InputError, match="not to be had: .*no checkpoint of step 2"):
        read_variables(moved)
