"""What will become of every leaf, told before any value is read."""

import dataclasses

import numpy as np
import pytest

from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.resnet import ResNetSpec
from tlj.models.shapes import leaf_shapes
from tlj.models.vit import ViTSpec
from tlj.pretrained.initialise import initial_variables
from tlj.pretrained.load_plan import INITS, plan_load
from tlj.pretrained.source import PretrainedSource, SourceLeaf

SPECS = {
    "vit": ViTSpec(num_classes=3, image_size=8, patch_size=4, width=8, depth=2, heads=2),
    "resnet": ResNetSpec(
        num_classes=3, image_size=8, stem_width=8, block="basic", stage_depths=(1, 1), stage_widths=(8, 16)
    ),
}


def unreadable() -> np.ndarray:
    raise AssertionError("a plan reads nothing")


def source(spec, read=unreadable) -> PretrainedSource:
    leaves = {path: SourceLeaf((f"their {path}",), shape, read) for path, shape in leaf_shapes(spec).items()}
    return PretrainedSource(spec, Preprocessing(8, (0.5,) * 3, (0.5,) * 3), leaves)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("family", list(SPECS))
def test_a_plan_accounts_for_every_leaf_and_reads_nothing(init, family):
    spec = SPECS[family]
    plan = plan_load(init, spec, source(spec))
    rows = {row.path: row for row in plan.leaves if row.path}
    assert {path: row.shape for path, row in rows.items()} == leaf_shapes(spec)
    assert {row.hash for row in plan.leaves} == {""}
    assert all((row.source == "") == (row.status == "reset") for row in rows.values())


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize(("keep_head", "copied"), [(False, None), (True, None), (False, 1)])
def test_what_is_done_is_what_was_planned_with_hashes(init, keep_head, copied):
    spec = SPECS["vit"]
    whole = source(spec)
    filled = {
        path: dataclasses.replace(leaf, read=lambda shape=leaf.shape: np.full(shape, 0.5, np.float32))
        for path, leaf in whole.leaves.items()
    }
    readable = dataclasses.replace(whole, leaves=filled)
    plan = plan_load(init, spec, readable, keep_head=keep_head, copied=copied)
    _, report = initial_variables(init, spec, readable, 0, keep_head=keep_head, copied=copied)
    assert [dataclasses.replace(row, hash="") for row in report.leaves] == list(plan.leaves)
    assert all(bool(row.hash) == (row.status != "reset") for row in report.leaves)


def test_blocks_that_are_not_copied_start_anew():
    spec = SPECS["vit"]
    plan = plan_load("pretrained", spec, source(spec), copied=1)
    statuses = {row.path: row.status for row in plan.leaves if row.path}
    for path, status in statuses.items():
        anew = path.startswith(("params/backbone/block1/", "params/backbone/norm/", "params/head/"))
        assert status == ("reset" if anew else "loaded"), path


def test_a_source_that_does_not_fit_is_refused_before_anything_is_read():
    spec = dataclasses.replace(SPECS["vit"], width=16)
    with pytest.raises(InputError, match=r"norm/scale has shape \(8,\), the model wants \(16,\)"):
        plan_load("pretrained", spec, source(SPECS["vit"]))


def test_statistics_start_anew_under_mean_var():
    spec = SPECS["resnet"]
    plan = plan_load("mean_var", spec, source(spec))
    assert {row.status for row in plan.leaves if row.path.startswith("batch_stats/")} == {"reset"}
    assert {row.status for row in plan.leaves if row.path.startswith("params/backbone/")} == {"drawn"}


def test_a_source_without_a_head_fits_a_model_with_one_unless_the_head_is_to_be_kept():
    spec = SPECS["vit"]
    headless = dataclasses.replace(source(spec), leaves=source(dataclasses.replace(spec, num_classes=0)).leaves)
    assert {row.status for row in plan_load("pretrained", spec, headless).leaves} == {"loaded", "reset"}
    with pytest.raises(InputError, match="missing params/head/kernel"):
        plan_load("pretrained", spec, headless, keep_head=True)
