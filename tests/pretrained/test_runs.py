"""Runs as sources of pretrained parameters."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from tlj.data.pipeline import training_batches
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import describe_model, read_run, read_variables


def test_a_run_tells_its_spec_its_preprocessing_and_its_step(vit_run, resnet_run):
    vit, resnet = read_run(vit_run), read_run(resnet_run)
    assert vit.spec == ViTSpec(num_classes=5, image_size=8, patch_size=4, width=16, depth=2, heads=2)
    assert isinstance(resnet.spec, ResNetSpec)
    assert resnet.spec.stage_depths == (1, 1)
    assert vit.preprocessing == resnet.preprocessing == open_source("digits:0-4").preprocessing
    assert vit.step == resnet.step == 3


def test_what_a_manifest_says_of_a_model_is_json_and_names_its_family(resnet_run):
    source = read_run(resnet_run)
    described = describe_model(source.spec, source.preprocessing)
    written = json.loads((resnet_run / "manifest.json").read_text())["model"]
    assert json.loads(json.dumps({**described, "adapters": None, "source_identity": ""})) == written
    assert written["family"] == "resnet"


def test_variables_come_as_float32_arrays_without_the_optimizer(run_directory):
    variables, step = read_variables(run_directory)
    assert step == 3
    assert variables.keys() == {"params", "batch_stats"}
    assert {type(leaf) for leaf in jax.tree.leaves(variables)} == {np.ndarray}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_statistics_are_there_for_a_family_that_has_them_and_have_moved(vit_run, resnet_run):
    assert read_variables(vit_run)[0]["batch_stats"] == {}
    norm = read_variables(resnet_run)[0]["batch_stats"]["backbone"]["embedding"]["norm"]
    assert np.all(norm["mean"] != 0)
    assert np.all(norm["var"] != 1)


def test_a_step_can_be_chosen_among_those_that_are_there(vit_run):
    assert checkpoint_steps(vit_run) == [3]
    latest, chosen = read_variables(vit_run)[0], read_variables(vit_run, 3)[0]
    assert leaf_digests(latest) == leaf_digests(chosen)
    with pytest.raises(InputError, match="no checkpoint of step 2; use one of 3$"):
        read_variables(vit_run, 2)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run of tlj here \(there is no manifest.json\): .*; give a run directory"):
        read_run(tmp_path)


def test_a_run_without_a_checkpoint_is_refused(vit_run, tmp_path):
    shutil.copy(vit_run / "manifest.json", tmp_path)
    with pytest.raises(InputError, match="no checkpoint here"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["{}", "{"])
def test_a_manifest_that_does_not_describe_a_model_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("preprocessing", {"evil": 1}),
        ("preprocessing", None),
        ("spec", None),
        ("family", ["vit"]),
        ("adapters", {"evil": 1}),
    ],
)
def test_a_manifest_that_describes_another_kind_of_thing_is_refused(vit_run, tmp_path, part, value):
    run = shutil.copytree(vit_run, tmp_path / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["model"][part] = value
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest\.json: not a manifest of a run"):
        read_run(run)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_refused_with_its_step(vit_run, tmp_path, damage):
    run = shutil.copytree(vit_run, tmp_path / "run")
    for file in [file for file in (run / "checkpoints").rglob("*") if file.is_file()]:
        if damage == "cut":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        else:
            file.unlink()
    with pytest.raises(InputError, match="the checkpoint of step 3 cannot be read"):
        read_run(run)


def test_a_run_that_was_trained_anew_is_read_anew(vit_run, other_vit_run, tmp_path):
    shutil.copytree(vit_run, tmp_path / "run")
    read_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(other_vit_run, tmp_path / "run")
    assert leaf_digests(read_run(tmp_path / "run").variables) == leaf_digests(read_run(other_vit_run).variables)


def test_a_relative_path_is_that_of_the_working_directory(vit_run, other_vit_run, monkeypatch):
    assert vit_run.name == other_vit_run.name
    found = []
    for run in (vit_run, other_vit_run):
        monkeypatch.chdir(run.parent)
        found.append(leaf_digests(read_run(pathlib.Path(run.name)).variables))
    assert found[0] != found[1]


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_training_from_a_source_leaves_the_source_as_it_was(family, request, train_target, target_setup, tmp_path):
    run = request.getfixturevalue(f"{family}_run")
    values = dict(strategy="full", init="pretrained")
    source = target_setup(run, family, **values).pretrained
    before = leaf_digests(source.variables)
    train_target(run, tmp_path / "target", family, **values)
    # The step donates its state; a state that shared memory with the source would have overwritten it.
    assert target_setup(run, family, **values).pretrained is source
    assert leaf_digests(source.variables) == before == leaf_digests(read_variables(run)[0])


def test_a_source_that_was_trained_anew_is_set_up_anew(vit_run, other_vit_run, target_setup, tmp_path):
    digests = []
    for run in (vit_run, other_vit_run):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(run, tmp_path / "run")
        setup = target_setup(tmp_path / "run", "vit", strategy="full", init="pretrained")
        digests.append(leaf_digests(setup.pretrained.variables))
    assert digests == [leaf_digests(read_variables(run)[0]) for run in (vit_run, other_vit_run)]


def test_arms_and_twin_of_a_source_share_labels_batches_and_head(vit_run, target_setup):
    setups = [
        target_setup(vit_run, "vit", strategy=strategy, init=init)
        for strategy, init in (("scratch", "scratch"), ("linear_probe", "pretrained"), ("full", "mean_var"))
    ]
    heads, batches = [], []
    for setup in setups:
        variables, _ = initial_variables(setup.init, setup.spec, setup.pretrained, setup.config["seed"])
        heads.append(leaf_digests(variables["params"]["head"]))
        order = training_batches(setup.source, setup.split.train, batch_size=8, seed=setup.config["seed"], steps=9)
        batches.append([leaf_digests(dict(order[step])) for step in range(9)])
    assert heads[0] == heads[1] == heads[2]
    assert batches[0] == batches[1] == batches[2]
    assert all(setup.preprocessing == setups[0].preprocessing for setup in setups)


def test_a_probe_of_a_run_keeps_its_backbone_and_statistics_bit_by_bit(resnet_run, train_target, tmp_path):
    target = train_target(resnet_run, tmp_path / "target", "resnet", strategy="linear_probe", init="pretrained")
    ours, theirs = read_variables(target)[0], read_variables(resnet_run)[0]
    assert leaf_digests(ours["params"]["backbone"]) == leaf_digests(theirs["params"]["backbone"])
    assert leaf_digests(ours["batch_stats"]) == leaf_digests(theirs["batch_stats"])
    manifest = json.loads((target / "manifest.json").read_text())
    statuses = {row["path"]: row["status"] for row in manifest["load_report"] if row["path"]}
    assert len(statuses) == len(jax.tree.leaves(ours))
    assert {path for path, status in statuses.items() if status == "reset"} == {
        "params/head/kernel",
        "params/head/bias",
    }
    ignored = {row["source"]: row["status"] for row in manifest["load_report"] if not row["path"]}
    assert ignored == {"params/head/bias": "ignored", "params/head/kernel": "ignored"}


@pytest.fixture(scope="module")
def validated_run(train_source, tmp_path_factory):
    """A run with checkpoints of steps 1, 2 and 3."""
    often = {"checkpoint": {"every": 1, "latest": 3}, "evaluate": {"every": 1}}
    return train_source(tmp_path_factory.mktemp("validated") / "run", "vit", **often)


@pytest.mark.parametrize(("asked", "step"), [("latest", 3), ("best", 2), (1, 1)])
def test_a_run_is_read_at_the_step_that_is_asked_for(validated_run, retell, tmp_path, asked, step):
    run = shutil.copytree(validated_run, tmp_path / "run")
    for place, loss in ((1, 0.5), (2, 0.2), (3, 0.3)):
        retell(run / "checkpoints" / str(place), metrics={"validation_loss": loss})
    source = read_run(run, step=asked)
    assert source.step == step
    digests = {place: leaf_digests(read_variables(run, place)[0]) for place in (1, 2, 3)}
    assert [place for place in digests if digests[place] == leaf_digests(source.variables)] == [step]


def test_the_leaves_of_a_run_are_told_by_path_and_shape(vit_run):
    source, (variables, _) = read_run(vit_run), read_variables(vit_run)
    kernel = source.leaves["params/head/kernel"]
    assert (kernel.names, kernel.shape) == (("params/head/kernel",), (16, 5))
    np.testing.assert_array_equal(kernel.read(), variables["params"]["head"]["kernel"])
    assert (source.classes, source.location) == (("0", "1", "2", "3", "4"), str(vit_run))
    assert (source.ignored, source.reset, source.files) == ((), frozenset(), {})
