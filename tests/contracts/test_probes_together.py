"""Probes that are trained together on cached features are the runs that each would be by itself and from inputs."""

import functools
import json

import jax
import numpy as np
import pytest

from tlj.pretrained.runs import read_variables
from tlj.training.cached.reader import CachedReader
from tlj.training.loop import run_steps, train_run
from tlj.training.programs import count_compilations
from tlj.training.run_files import read_metrics, read_predictions
from tlj.training.surroundings import Surroundings
from tlj.training.together.train import train_together

PLAIN = {"data": {"augment": {"shift": 0}}, "steps": 8, "steps_per_call": 4, "log": {"every": 4},
         "evaluate": {"every": 8}, "checkpoint": {"keep": "trainable"}}  # fmt: skip
CACHED = {"cache": {"activations": "float32"}}
BATCH = 8
# Two trials at each of two seeds, the second at another budget.
TRIALS = [
    {"seed": seed, "label_budget": budget, "optimizer": {"learning_rate": rate, "weight_decay": decay}}
    for seed, budget in ((0, 60), (1, 40))
    for rate, decay in ((0.01, 0.1), (0.1, 0.0))
]


@pytest.mark.parametrize("family", ["vit", "bert"])
def test_trials_of_a_probe_train_together_on_features_as_each_does_from_inputs(
    transfer, programs, tmp_path, monkeypatch, family
):
    plain, cached = (
        [transfer(family, "linear_probe", PLAIN, changes, trial) for trial in TRIALS] for changes in ({}, CACHED)
    )
    apart, together = ([tmp_path / name / str(i) for i in range(len(TRIALS))] for name in ("apart", "together"))
    for setup, directory in zip(plain, apart, strict=True):
        train_run(setup, directory, "hash", Surroundings(programs))
    read, sizes = CachedReader.batch, []

    def counting(self, indices, rows=slice(None)):
        sizes.append(len(np.asarray(indices)[rows]))
        return read(self, indices, rows)

    monkeypatch.setattr(CachedReader, "batch", counting)
    begun = [
        functools.partial(run_steps, setup, directory, "hash")
        for setup, directory in zip(cached, together, strict=True)
    ]
    with count_compilations() as compiled:
        train_together(begun, len(TRIALS), Surroundings(programs))
    # One for all, and one that tells the FLOPs of a run by itself.
    assert (compiled["several"], compiled["step_together"], compiled["train_step"]) == (2, 0, 0)
    # Eight steps of two orders, each read once, and the first batch of each run for its summary.
    assert sizes.count(BATCH) <= 8 * 2 + len(TRIALS)
    for ours, theirs in zip(together, apart, strict=True):
        assert_same(ours, theirs)


def assert_same(ours, theirs):
    losses = [
        [row.get("loss", row.get("validation_loss")) for row in read_metrics(directory / "metrics.jsonl")]
        for directory in (ours, theirs)
    ]
    np.testing.assert_allclose(*losses, atol=1e-5, rtol=1e-5)
    found, wanted = (read_predictions(directory / "predictions.parquet") for directory in (ours, theirs))
    for part, (logits, labels) in wanted.items():
        np.testing.assert_allclose(found[part][0], logits, atol=1e-5)
        np.testing.assert_array_equal(found[part][1], labels)
    (variables, _), (expected, _) = read_variables(ours), read_variables(theirs)
    for leaf, other in zip(jax.tree.leaves(variables), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, atol=1e-5, rtol=1e-5)
    summary = json.loads((ours / "summary.json").read_text())
    assert summary["timing"]["batched_with"] == len(TRIALS)
    assert summary["cost"]["cached"]["relative_flops"] < 0.1
