"""A run that keeps deltas is the run that keeps everything, in a fraction of the space, and on no other base."""

import dataclasses
import functools
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

import tlj
from tlj import config as configuration
from tlj.errors import InputError
from tlj.experiments.compare import train
from tlj.freezing.digests import leaf_digests
from tlj.pretrained.find_checkpoint import checkpoint_steps, find_checkpoint
from tlj.pretrained.inventory import MARK
from tlj.training.compiled import abstract_state
from tlj.training.inspection import inspect_run
from tlj.training.loop import Surroundings, train_run
from tlj.training.run_checkpoints import open_checkpoints
from tlj.training.run_files import read_metrics, read_predictions
from tlj.training.setup import set_up

OFTEN = {"steps": 12, "checkpoint": {"every": 4}, "evaluate": {"every": 4}, "log": {"every": 3}}
DELTA = {"checkpoint": {"keep": "trainable"}}
CASES = {
    "last_blocks:1+l2_sp": ("vit", {"init": "mean_var"}),
    "copy_freeze:1": ("bert", {}),
    "last_blocks:1": ("resnet", {"groups": {"frozen": {"norm_mode": "adapt"}}}),
    "lora:2": ("vit", {}),
}


class KilledError(Exception):
    """Stands for a kill: nothing of the run goes on after it."""


def killed_at(at, programs):
    done = []

    def on_step(steps):
        done.append(steps)
        if sum(done) == at:
            raise KilledError

    return Surroundings(programs, on_step=on_step)


def state_at_the_end(setup, directory):
    made_of = json.loads((directory / "manifest.json").read_text())
    with open_checkpoints(setup, directory, "hash", made_of) as checkpoints:
        state, record = checkpoints.restore_latest(functools.partial(abstract_state, setup))
    return state, dataclasses.replace(record, clock={})


def lasting(summary):
    return {name: value for name, value in summary.items() if name not in ("timing", "cost")}


def untimed(directory):
    rows = read_metrics(directory / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name != "timing"} for row in rows]


def content(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def size_of_arrays(directory):
    """Bytes of the checkpoints of a run, but for what each says of itself, which is the same for whole ones."""
    files = (path for path in (directory / "checkpoints").rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.name != MARK)


@pytest.mark.parametrize("strategy", CASES)
def test_a_delta_run_that_was_killed_ends_bit_equal_to_a_whole_one_that_was_not(transfer, programs, tmp_path, strategy):
    family, changes = CASES[strategy]
    setup, delta = (transfer(family, strategy, OFTEN, changes, keep) for keep in ({}, DELTA))
    expected = train_run(setup, tmp_path / "whole", "hash", Surroundings(programs))
    with pytest.raises(KilledError):
        train_run(delta, tmp_path / "delta", "hash", killed_at(7, programs))
    assert checkpoint_steps(tmp_path / "delta") == [4]
    assert lasting(train_run(delta, tmp_path / "delta", "hash", Surroundings(programs))) == lasting(expected)
    assert untimed(tmp_path / "delta") == untimed(tmp_path / "whole")
    (ours, our_record), (theirs, their_record) = (
        state_at_the_end(one, tmp_path / name) for one, name in ((delta, "delta"), (setup, "whole"))
    )
    assert our_record == their_record
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, mine), leaf in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(leaf).tobytes(), path
    found, wanted = (read_predictions(tmp_path / name / "predictions.parquet") for name in ("delta", "whole"))
    assert found.keys() == wanted.keys()
    for split in found:
        np.testing.assert_array_equal(found[split][0], wanted[split][0])


def test_a_probe_keeps_less_than_a_fifth_of_what_the_whole_run_keeps(transfer, programs, tmp_path):
    for name, changes in (("whole", {}), ("delta", DELTA)):
        train_run(
            transfer("vit", "linear_probe", {"steps": 2}, changes), tmp_path / name, "hash", Surroundings(programs)
        )
    assert size_of_arrays(tmp_path / "delta") < 0.2 * size_of_arrays(tmp_path / "whole")


def test_a_delta_run_whose_source_was_trained_anew_does_not_go_on(sources, transfer, programs, tmp_path):
    source, run = tmp_path / "source", tmp_path / "run"
    shutil.copytree(sources["vit"], source)
    setup = transfer("vit", "linear_probe", OFTEN, DELTA, {"model": {"source": str(source)}})
    with pytest.raises(KilledError):
        train_run(setup, run, "hash", killed_at(7, programs))
    mine = find_checkpoint(run, 4).metadata["base"]
    assert (mine["source"], mine["identity"]) == (str(source), setup.pretrained.identity)
    shutil.rmtree(source)
    again = transfer("vit", "full", {"steps": 3, "data": {"source": "digits:0-4"}})
    train_run(again, source, "hash", Surroundings(programs))
    before, other = content(run), set_up(setup.config, tmp_path)
    with pytest.raises(InputError, match=f"hash {mine['digest']} .source '{source}'.* gives [0-9a-f]{{16}};"):
        train_run(other, run, "hash", Surroundings(programs))
    assert content(run) == before


def test_a_delta_run_from_scratch_goes_on_with_its_own_seed_alone(from_scratch, programs, tmp_path):
    values = {**OFTEN, "strategy": "linear_probe", "init": "scratch"}
    setup, other = (from_scratch("vit", values, DELTA, {"seed": seed}) for seed in (0, 1))
    with pytest.raises(KilledError):
        train_run(setup, tmp_path, "hash", killed_at(7, programs))
    before = content(tmp_path)
    # Another seed has other examples, and where it had the same ones, still another base.
    with pytest.raises(InputError, match="this run began with other examples"):
        train_run(other, tmp_path, "hash", Surroundings(programs))
    with pytest.raises(InputError, match="a delta on the base with the hash [0-9a-f]{16} .seed 0., .*seed 1 gives"):
        state_at_the_end(other, tmp_path)
    assert content(tmp_path) == before
    assert train_run(setup, tmp_path, "hash", Surroundings(programs))["steps"] == 12


def test_what_a_checkpoint_keeps_is_part_of_what_a_run_is(transfer, sources, tmp_path):
    setup = transfer("vit", "linear_probe", {"steps": 2})
    config = configuration.merge(configuration.default(), {**setup.config, "workdir": str(tmp_path / "run")})
    train(config)
    with pytest.raises(InputError, match="checkpoint.keep was 'all' and is 'trainable'"):
        train(configuration.merge(config, DELTA))


GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "checkpoints" / "vit_gelu"


def test_a_delta_on_a_checkpoint_of_another_origin_is_read_on_that_checkpoint_alone(from_scratch, programs, tmp_path):
    source, run = shutil.copytree(GOLDEN, tmp_path / "vit"), tmp_path / "run"
    model = {"family": "vit", "source": str(source)}
    changes = {"strategy": "linear_probe", "steps": 2, "model": model}
    # The sizes are those of the checkpoint, but for the images of the data: its position embeddings are resized.
    config = configuration.merge(configuration.default(), {**from_scratch("vit", DELTA).config, **changes})
    config.model.settings = {"image_size": 8}
    train_run(set_up(configuration.run_config(config), tmp_path), run, "hash", Surroundings(programs))
    assert {leaf["path"] for leaf in inspect_run(run)["leaves"] if leaf["group"] != "frozen"} == {
        "head/bias",
        "head/kernel",
    }
    loaded = tlj.load(source, image_size=8).variables["params"]["backbone"]
    assert leaf_digests(tlj.load(run).variables["params"]["backbone"]) == leaf_digests(loaded)
    weights = bytearray((source / "model.safetensors").read_bytes())
    weights[-1] ^= 1  # the last bit of an exponent: another number, and a finite one
    (source / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="a delta on the base with the hash .* gives [0-9a-f]{16};"):
        tlj.load(run)
