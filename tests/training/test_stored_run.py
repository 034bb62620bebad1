import dataclasses
import shutil

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.runs import read_run
from tlj.pretrained.source import SourceLeaf
from tlj.training.stored_run import open_stored_run, start_of_run


@pytest.fixture
def run(comparison, tmp_path):
    """A run of a comparison in a place of its own, which may be changed, and the folder of its checkpoint."""
    copy = shutil.copytree(comparison[0] / "runs" / "last_blocks-1" / "40" / "1", tmp_path / "run")
    return copy, copy / "checkpoints" / "24"


def test_a_checkpoint_tells_its_run(comparison):
    run = open_stored_run(comparison[0] / "runs" / "last_blocks-1" / "40" / "1")
    assert (run.stored.step, run.record.phase.index, len(run.phases)) == (24, 0, 1)
    assert (run.manifest["init"], run.config["strategy"], run.config["seed"]) == ("pretrained", "last_blocks:1", 1)
    assert set(run.params) == set(run.layout.depths) == set(run.phase.label_of)
    assert {group.name for group in run.phase.groups} == set(run.phase.label_of.values()) - {"frozen"}
    assert (run.adapters, run.statistics, run.base_problem) == (None, {}, "")


def test_its_start_is_made_again_from_the_source_that_lies_above_it(comparison):
    run = open_stored_run(comparison[0] / "runs" / "last_blocks-1" / "40" / "1")
    params, statistics = start_of_run(run)
    source = read_run(comparison[0] / "source")
    expected, _ = initial_variables("pretrained", run.spec, source, 1)
    assert sorted(leaf_digests(params).values()) == sorted(leaf_digests(expected["params"]).values())
    assert statistics == {}


def test_a_start_is_none_where_the_source_is_gone_or_another(comparison, run):
    copy, _ = run
    assert start_of_run(open_stored_run(copy)) is None
    shutil.copytree(comparison[0] / "runs" / "scratch" / "40" / "1", copy.parent / "source")
    assert start_of_run(open_stored_run(copy)) is None
    shutil.rmtree(copy.parent / "source")
    shutil.copytree(comparison[0] / "source", copy.parent / "source")
    assert start_of_run(open_stored_run(copy)) is not None


def test_a_source_of_another_origin_is_found_again_by_what_was_loaded_from_it(comparison, run, retell):
    copy, checkpoint = run
    shutil.copytree(comparison[0] / "source", copy.parent / "source")
    found = read_run(copy.parent / "source")
    # Other names than the model's, two arrays for one leaf, and one that the model does not take.
    named = {path: dataclasses.replace(leaf, names=("theirs.a", "theirs.b")) for path, leaf in found.leaves.items()}
    ignored = SourceLeaf(("theirs.c",), (1,), lambda: np.zeros(1, np.float32), "the model does not take it")
    other = dataclasses.replace(found, leaves=named, ignored=(ignored,))
    _, report = initial_variables("pretrained", found.spec, other, 0)
    retell(checkpoint, about__manifest__load_report=report.rows())
    assert start_of_run(open_stored_run(copy)) is not None


def test_the_other_files_of_the_run_are_not_looked_at(run):
    copy, _ = run
    for name in ("config.json", "manifest.json"):
        (copy / name).write_text("{")
    assert open_stored_run(copy).stored.step == 24


@pytest.mark.parametrize(
    "changes",
    [
        {"record": None},
        {"record": {}},
        {"record": []},
        {"record__phase": {"starts": [0]}},
        {"record__best": [1]},
        {"record__evil": 1},
        {"record__phase__starts": [0, 12]},
        {"about__manifest__phases": []},
        {"about__manifest__phases": [{}]},
        {"about__manifest__phases": {"0": 1}},
        {"about__manifest__model": None},
        {"about__manifest__model__family": "evil"},
        {"about__manifest__model__family": ["vit"]},
        {"about__manifest__model__spec": {"evil": 1}},
        {"about__manifest__model__spec__depth": 1},
        {"about__manifest__model__adapters": {"evil": 1}},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_metadata_that_do_not_tell_the_run_are_one_line(run, retell, changes):
    copy, checkpoint = run
    retell(checkpoint, **changes)
    with pytest.raises(InputError) as error:
        open_stored_run(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"about__manifest__init": None},
        {"about__manifest__init": "evil"},
        {"about__manifest__load_report": None},
        {"about__manifest__load_report": [1]},
        {"about__config__strategy": None},
        {"about__config__strategy": "evil"},
        {"about__config__seed": "evil"},
        {"about__config__seed": -1},
        {"about__config__model": None},
        {"about__config__model__source": 1},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_metadata_that_do_not_tell_the_start_are_one_line(comparison, run, retell, changes):
    copy, checkpoint = run
    shutil.copytree(comparison[0] / "source", copy.parent / "source")
    retell(checkpoint, **changes)
    with pytest.raises(InputError) as error:
        start_of_run(open_stored_run(copy))
    assert "\n" not in str(error.value)
