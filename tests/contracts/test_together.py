"""Runs trained together are the runs that each would have been by itself, whatever becomes of the others."""

import functools
import json

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.freezing.digests import leaf_digests
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.runs import read_variables
from tlj.training.loop import run_steps, train_run
from tlj.training.non_finite import NonFiniteError
from tlj.training.programs import count_compilations
from tlj.training.run_files import read_metrics, read_predictions
from tlj.training.surroundings import StoppedError, Surroundings
from tlj.training.together.train import train_together

MOST = 4
BASE = {"steps": 8, "evaluate": {"every": 4}, "checkpoint": {"every": 4}, "log": {"every": 3}}
# With the moments of Adam, the bias of the keys, on which nothing depends, would follow the rounding of its gradient.
DIFFERING = [
    {"seed": 0, "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1}},
    {"seed": 1, "optimizer": {"learning_rate": 0.03, "weight_decay": 0.0}},
    {"seed": 2, "label_budget": 40, "optimizer": {"learning_rate": 0.02, "weight_decay": 0.3}},
]
SGD = {"optimizer": {"name": "sgd"}}


@pytest.fixture(scope="module")
def setups(transfer, from_scratch):
    """By case, the runs that are trained together."""
    # The three of BERT have one seed, and so one batch, of which the frozen part is computed once.
    of_bert = [{**changes, "seed": 3, "label_budget": 60} for changes in DIFFERING]
    return {
        "vit, partly frozen": [transfer("vit", "last_blocks:1", BASE, SGD, changes) for changes in DIFFERING],
        "resnet": [from_scratch("resnet", BASE, changes) for changes in DIFFERING],
        "bert, a probe of one seed": [
            transfer("bert", "linear_probe", BASE, {"steps_per_call": 2}, changes) for changes in of_bert
        ],
    }


@pytest.fixture(scope="module")
def alone(setups, programs, tmp_path_factory):
    """Trains a case run by run, once, and returns their directories."""

    @functools.cache
    def train(case):
        directories = [tmp_path_factory.mktemp("alone") / str(i) for i in range(len(setups[case]))]
        for setup, directory in zip(setups[case], directories, strict=True):
            train_run(setup, directory, "hash", Surroundings(programs))
        return directories

    return train


def together(setups, directories, shared, most=MOST):
    began = [
        functools.partial(run_steps, setup, directory, "hash")
        for setup, directory in zip(setups, directories, strict=True)
    ]
    return train_together(began, most, shared)


def numbers(content):
    """All that a file says but for what was measured, by dotted name, apart into numbers and the rest."""
    flat = traverse_util.flatten_dict({k: v for k, v in content.items() if k not in ("timing", "cost")}, sep=".")
    listed = {name: value for name, value in flat.items() if isinstance(value, float)}
    return listed, {name: value for name, value in flat.items() if name not in listed}


def assert_as_alone(directory, expected):
    rows, expected_rows = (read_metrics(run / "metrics.jsonl") for run in (directory, expected))
    contents = [json.loads((run / "summary.json").read_text()) for run in (directory, expected)]
    for ours, theirs in zip([*rows, contents[0]], [*expected_rows, contents[1]], strict=True):
        (found, rest), (wanted, others) = numbers(ours), numbers(theirs)
        assert found == pytest.approx(wanted, abs=1e-5, rel=1e-5)
        assert {**rest, "phases": None} == {**others, "phases": None}
    # FLOPs are those of the run's own step.
    assert contents[0]["phases"] == contents[1]["phases"]
    ours, theirs = (read_predictions(run / "predictions.parquet") for run in (directory, expected))
    for part, (logits, labels) in theirs.items():
        np.testing.assert_allclose(ours[part][0], logits, atol=1e-5)
        np.testing.assert_array_equal(ours[part][1], labels)
    for found, wanted in zip(*(jax.tree.leaves(read_variables(run)[0]) for run in (directory, expected)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", ["vit, partly frozen", "resnet", "bert, a probe of one seed"])
def test_every_file_of_every_run_says_what_it_would_by_itself(setups, alone, programs, tmp_path, case):
    expected = alone(case)
    directories = [tmp_path / str(i) for i in range(3)]
    with count_compilations() as compiled:
        summaries = together(setups[case], directories, Surroundings(programs))
    for directory, wanted, summary in zip(directories, expected, summaries, strict=True):
        assert_as_alone(directory, wanted)
        assert checkpoint_steps(directory) == [4, 8]
        assert summary == json.loads((directory / "summary.json").read_text())
    # Of calls of two steps and of one, where a window leaves one over.
    assert compiled["step_together"] + compiled["several"] == (2 if "bert" in case else 1)
    assert compiled["train_step"] == 0


def test_what_is_frozen_is_bit_identical_and_what_was_measured_says_that_it_was_shared(
    setups, alone, programs, tmp_path
):
    case = "vit, partly frozen"
    directories = [tmp_path / str(i) for i in range(3)]
    summaries = together(setups[case], directories, Surroundings(programs))
    phase = setups[case][0].phases[0]
    for directory, wanted in zip(directories, alone(case), strict=True):
        found, before = (leaf_digests(read_variables(run)[0]["params"]) for run in (directory, wanted))
        frozen = [path for path in found if path not in phase.trained]
        assert frozen
        assert [found[path] for path in frozen] == [before[path] for path in frozen]
    assert [summary["timing"]["batched_with"] for summary in summaries] == [3, 3, 3]
    rows = [row for row in read_metrics(directories[0] / "metrics.jsonl") if "loss" in row]
    assert {row["timing"]["batched_with"] for row in rows} == {3}


def test_runs_stopped_together_go_on_with_others_or_by_themselves(setups, alone, programs, tmp_path):
    case = "vit, partly frozen"
    directories = [tmp_path / str(i) for i in range(3)]

    def on_window(row):
        if row["step"] == 6:
            shared.stop.set()

    shared = Surroundings(programs, on_window=on_window)
    with pytest.raises(StoppedError):
        together(setups[case], directories, shared)
    assert [checkpoint_steps(directory) for directory in directories] == [[4]] * 3
    train_run(setups[case][0], directories[0], "hash", Surroundings(programs))
    # As if it had never been: the others wait for it to catch up.
    directories[1] = tmp_path / "anew"
    together(setups[case][1:], directories[1:], Surroundings(programs), most=2)
    for directory, wanted in zip(directories, alone(case), strict=True):
        assert_as_alone(directory, wanted)


def test_a_run_that_diverges_leaves_the_others_as_they_are(setups, transfer, alone, programs, tmp_path):
    case = "vit, partly frozen"
    hot = transfer("vit", "last_blocks:1", BASE, SGD, {"optimizer": {"learning_rate": 1e30, "warmup": "0 steps"}})
    directories = [tmp_path / str(i) for i in range(4)]
    with count_compilations() as compiled:
        results = together([setups[case][0], hot, *setups[case][1:]], directories, Surroundings(programs))
    assert isinstance(results[1], NonFiniteError)
    assert json.loads((directories[1] / "non_finite.json").read_text())["step"] == 2
    assert not (directories[1] / "summary.json").exists()
    for directory, wanted in zip([directories[0], *directories[2:]], alone(case), strict=True):
        assert_as_alone(directory, wanted)
    # Its place stays empty.
    assert compiled["step_together"] <= 1
