import json
import shutil

import jax
import numpy as np
import pytest

from tlj.data.parts import pool_and_test
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.experiments.grid import make_grid
from tlj.experiments.screening import screen, screened_examples, source_data, write_if_new
from tlj.pretrained.runs import read_variables
from tlj.training.inputs import evaluation_inputs
from tlj.training.programs import Programs, count_compilations
from tlj.training.setup import set_up

PROGRAMS = Programs()
EXAMPLES = 30


@pytest.fixture(scope="module")
def screened(comparison, tiny_config, tmp_path_factory):
    """A workdir with a trained source and no runs, screened; its config and its grid."""
    workdir = tmp_path_factory.mktemp("screened")
    shutil.copytree(comparison[0] / "source", workdir / "source")
    config = tiny_config(workdir, screening={"examples": EXAMPLES})
    grid = make_grid(config)
    screen(config, grid, workdir, PROGRAMS)
    return workdir, config, grid


def features(workdir, name):
    with np.load(workdir / "screening" / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def told(workdir):
    return json.loads((workdir / "screening" / "screening.json").read_text())


def test_every_init_of_the_arms_has_the_features_of_the_same_examples(screened):
    workdir, _, _ = screened
    assert sorted(told(workdir)["files"]) == ["mean_var", "pretrained", "scratch", "source"]
    found = {name: features(workdir, name) for name in told(workdir)["files"]}
    assert {values["features"].shape for values in found.values()} == {(EXAMPLES, 16)}
    assert {values["features"].dtype for values in found.values()} == {np.dtype(np.float32)}
    inits = [found[name] for name in ("mean_var", "pretrained", "scratch")]
    assert len({str(values["ids"]) for values in inits}) == 1
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(inits[one]["features"], inits[other]["features"], atol=0.1)


def test_examples_are_of_the_labelled_pool_in_proportion_and_none_is_tested(screened):
    workdir, config, grid = screened
    setup = set_up(grid.runs[0].config, workdir)
    pool, chosen = screened_examples(setup, EXAMPLES)
    _, test = pool_and_test(setup.source, config.data)
    assert set(chosen) <= set(pool)
    assert not set(chosen) & set(test)
    np.testing.assert_array_equal(features(workdir, "scratch")["labels"], setup.source.labels[chosen])
    counts = np.bincount(setup.source.labels[chosen])
    assert counts.max() - counts.min() <= 1
    # Not by the seed of a run: every arm and seed has the same.
    np.testing.assert_array_equal(screened_examples(set_up(grid.runs[-1].config, workdir), EXAMPLES)[1], chosen)


def test_pretrained_features_are_what_the_backbone_says_of_the_examples(screened):
    workdir, _, grid = screened
    setup = set_up(next(run for run in grid.runs if run.arm.init == "pretrained").config, workdir)
    _, chosen = screened_examples(setup, EXAMPLES)
    params = read_variables(workdir / "source")[0]["params"]["backbone"]
    inputs = evaluation_inputs(setup.source.batch(chosen), setup.preprocessing)
    wanted = jax.jit(lambda p, x: setup.module.backbone.apply({"params": p}, x))(params, inputs)
    np.testing.assert_allclose(features(workdir, "pretrained")["features"], wanted, rtol=1e-3, atol=1e-4)


def test_source_features_are_of_data_that_the_backbone_was_trained_on(screened):
    workdir, _, grid = screened
    assert told(workdir)["source"] == {"data": "digits:0-4", "examples": EXAMPLES}
    counts = np.bincount(features(workdir, "source")["labels"])
    assert counts.max() - counts.min() <= 1
    source = open_source("digits:0-4")
    pool, _ = pool_and_test(source, grid.source["data"])
    assert len(pool) < len(source.labels)


def test_what_is_there_is_left_and_what_is_damaged_is_written_again(screened):
    workdir, config, grid = screened
    paths = sorted((workdir / "screening").iterdir())
    before = {path: path.stat().st_mtime_ns for path in paths}
    with count_compilations() as compiled:
        screen(config, grid, workdir, Programs())
    assert not compiled
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    path = workdir / "screening" / "scratch.npz"
    whole = features(workdir, "scratch")
    path.write_bytes(path.read_bytes()[:200])
    screen(config, grid, workdir, PROGRAMS)
    np.testing.assert_array_equal(features(workdir, "scratch")["features"], whole["features"])
    assert [p for p in before if p.stat().st_mtime_ns != before[p]] == [path]


def test_fewer_examples_than_asked_for_are_no_error_and_none_are_no_work(screened, tiny_config, tmp_path):
    workdir, _, grid = screened
    setup = set_up(grid.runs[0].config, workdir)
    pool, chosen = screened_examples(setup, 10**6)
    np.testing.assert_array_equal(chosen, pool)
    screen(tiny_config(tmp_path, screening={"examples": 0}), grid, tmp_path, PROGRAMS)
    assert list(tmp_path.iterdir()) == []


def test_named_source_data_wins_and_is_refused_in_one_line_where_it_cannot_be(screened, tiny_config):
    workdir, _, grid = screened
    spec = set_up(grid.runs[0].config, workdir).spec

    def found(name, arms=grid):
        return source_data(tiny_config(workdir, screening={"data": name}), arms, spec)

    assert found("digits:1-3").name == "digits:1-3"
    assert found("").name == "digits:0-4"
    for name, message in (
        ("digit:0-4", "did you mean 'digits'"),
        ("synthetic_text:8x2", "text"),
        ("synthetic:16x2", "16"),
    ):
        with pytest.raises(InputError, match=message) as error:
            found(name)
        assert error.value.where == "config.screening.data"


def test_a_comparison_without_a_pretrained_arm_asks_for_no_source(tiny_config, tmp_path):
    config = tiny_config(tmp_path, arms=("scratch",), pretrain={}, screening={"data": "no such data"})
    config.model.source, config.pretrain = "", {}
    grid = make_grid(config)
    spec = set_up(grid.runs[0].config, tmp_path).spec
    assert source_data(config, grid, spec) is None


def test_a_file_that_says_the_same_is_not_written(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"b": [1]}')
    write_if_new(path, {"b": (1,)})
    assert path.read_text() == '{"b": [1]}'
    write_if_new(path, {"b": (2,)})
    assert json.loads(path.read_text()) == {"b": [2]}


def test_features_of_other_examples_take_the_place_of_those_that_are_there(screened, tiny_config, tmp_path):
    workdir = shutil.copytree(screened[0], tmp_path / "other")
    config = tiny_config(workdir, screening={"examples": 12})
    screen(config, make_grid(config), workdir, PROGRAMS)
    assert told(workdir)["examples"] == 12
    assert {len(features(workdir, name)["features"]) for name in told(workdir)["files"]} == {12}
