"""A run that starts from cached activations is the run that computes them at every step, up to its last bits."""

import json

import numpy as np
import pytest

from tlj.freezing.digests import leaf_digests
from tlj.pretrained.runs import read_variables
from tlj.training.cached.start import shared_start
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.run_files import read_metrics, read_predictions

PLAIN = {"data": {"augment": {"shift": 0}}, "steps": 7, "log": {"every": 2}, "evaluate": {"every": 3}}
CACHED = {"cache": {"activations": "float32"}}


def losses(directory):
    rows = read_metrics(directory / "metrics.jsonl")
    return [row.get("loss", row.get("validation_loss")) for row in rows]


def assert_same_run(one, other):
    np.testing.assert_allclose(losses(one), losses(other), rtol=1e-5, atol=1e-6)
    for split, (logits, _) in read_predictions(one / "predictions.parquet").items():
        np.testing.assert_allclose(
            logits, read_predictions(other / "predictions.parquet")[split][0], rtol=1e-4, atol=1e-5
        )
    ours, theirs = (leaf_digests({**read_variables(directory)[0]["params"]}) for directory in (one, other))
    assert ours.keys() == theirs.keys()
    begun, cached = (json.loads((directory / "summary.json").read_text()) for directory in (one, other))
    # Counted before and after the compiler's own simplifications.
    assert cached["flops"]["training_total"] == pytest.approx(begun["flops"]["training_total"], rel=0.1)


@pytest.mark.parametrize(
    ("family", "strategy"),
    [
        ("vit", "linear_probe"),
        ("vit", "last_blocks:1"),
        ("resnet", "linear_probe"),
        ("resnet", "last_blocks:1"),
        ("bert", "last_blocks:1"),
        ("vit", "gradual:2"),
    ],
)
def test_a_cached_run_is_the_run(transfer, programs, tmp_path, family, strategy):
    setups = [transfer(family, strategy, PLAIN, changes) for changes in ({}, CACHED)]
    for name, setup in zip(("plain", "cached"), setups, strict=True):
        train_run(setup, tmp_path / name, "hash", Surroundings(programs))
    assert_same_run(tmp_path / "plain", tmp_path / "cached")
    told = json.loads((tmp_path / "cached/summary.json").read_text())["cost"]["cached"]
    assert told["relative_flops"] < 1
    assert {row["depth"] for row in told["kept"]} == ({1, 2} if strategy == "gradual:2" else {
        2 if strategy == "linear_probe" else 1})
