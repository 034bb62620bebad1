import json
import shutil
import types

import numpy as np
import pytest

from tlj.experiments import drift
from tlj.experiments.drift import measure_drift
from tlj.experiments.grid import make_grid
from tlj.models.lora import ROOT, Adapters
from tlj.training.programs import Programs, count_compilations

PROGRAMS = Programs()
ARMS = ("scratch", "linear_probe", "last_blocks-1", "full", "full-from-mean_var")


@pytest.fixture(scope="module")
def measured(comparison, tiny_config, tmp_path_factory):
    """A workdir with the runs of the first seed at the largest budget, their drift measured; its config and grid."""
    workdir = tmp_path_factory.mktemp("drift")
    for folder in ("source", *(f"runs/{arm}/40/0" for arm in ARMS)):
        shutil.copytree(comparison[0] / folder, workdir / folder)
    config = tiny_config(workdir, screening={"examples": 60})
    grid = make_grid(config)
    measure_drift(config, grid, workdir, PROGRAMS)
    return workdir, config, grid


def told(workdir):
    return json.loads((workdir / "screening" / "drift.json").read_text())


def rows(workdir):
    return {row["arm"]: row for row in told(workdir)["arms"]}


def test_every_arm_has_a_similarity_at_every_depth(measured):
    workdir, _, grid = measured
    assert (told(workdir)["budget"], told(workdir)["seed"], told(workdir)["twin"]) == (40, 0, "scratch")
    found = rows(workdir)
    assert set(found) == {arm.name for arm in grid.arms}
    for row in found.values():
        # The embedding and two blocks.
        assert (len(row["start"]), len(row["chance"]), row["examples"]) == (3, 3, 60)
        assert all(0 <= value <= 1 for value in (*row["start"], row["start_features"], *row["chance"]))


def test_what_is_frozen_has_not_drifted_and_what_trains_has(measured):
    found = rows(measured[0])
    assert found["linear_probe"]["start"] == pytest.approx([1, 1, 1], abs=1e-9)
    assert found["linear_probe"]["start_features"] == pytest.approx(1, abs=1e-9)
    assert found["last_blocks:1"]["start"][:2] == pytest.approx([1, 1], abs=1e-9)
    assert found["last_blocks:1"]["start"][2] < 1 - 1e-6
    assert all(value < 1 - 1e-6 for value in found["full"]["start"])


def test_arms_are_held_against_the_end_of_the_twin_and_the_twin_is_not(measured):
    found = rows(measured[0])
    assert (found["scratch"]["twin"], found["scratch"]["twin_features"]) == (None, None)
    # Below what they train two transfer arms are the same backbone.
    assert found["linear_probe"]["twin"][:2] == pytest.approx(found["last_blocks:1"]["twin"][:2])
    assert found["full"]["twin"] != pytest.approx(found["linear_probe"]["twin"])


def test_a_second_call_does_nothing_and_one_with_other_runs_measures_again(measured, tmp_path):
    workdir, config, grid = measured
    path = workdir / "screening" / "drift.json"
    before = path.stat().st_mtime_ns
    with count_compilations() as compiled:
        measure_drift(config, grid, workdir, Programs())
    assert not compiled
    assert path.stat().st_mtime_ns == before
    other = shutil.copytree(workdir, tmp_path / "other")
    # A run without a checkpoint is left out; so is one that is not done, and then the twin's end is unknown.
    shutil.rmtree(other / "runs/full/40/0/checkpoints")
    (other / "runs/scratch/40/0/summary.json").unlink()
    measure_drift(config, grid, other, PROGRAMS)
    found = rows(other)
    assert set(found) == {"linear_probe", "last_blocks:1", "full@mean_var"}
    assert all(row["twin"] is None for row in found.values())
    assert found["linear_probe"]["start"] == rows(workdir)["linear_probe"]["start"]


def test_without_runs_or_examples_nothing_is_written(tiny_config, measured, tmp_path):
    _, config, grid = measured
    measure_drift(config, grid, tmp_path, PROGRAMS)
    measure_drift(tiny_config(tmp_path, screening={"examples": 0}), grid, measured[0], PROGRAMS)
    assert list(tmp_path.iterdir()) == []


def test_adapters_are_merged_into_what_they_adapt(monkeypatch):
    rng = np.random.default_rng(0)
    kernel, a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 4), (4, 1), (1, 4)))
    stored = types.SimpleNamespace(
        params={"backbone/block0/dense/kernel": kernel, f"{ROOT}/backbone/block0/dense/a": a,
                f"{ROOT}/backbone/block0/dense/b": b},
        statistics={}, adapters=Adapters(1, 2.0, ("dense",)), base_problem="",
    )  # fmt: skip
    monkeypatch.setattr(drift, "open_stored_run", lambda directory: stored)
    found = drift._trained(None, None)["params"]
    assert ROOT not in found
    np.testing.assert_allclose(found["backbone"]["block0"]["dense"]["kernel"], kernel + 2 * a @ b, rtol=1e-5)
    stored.base_problem = "its base is gone"
    assert drift._trained(None, None) is None
