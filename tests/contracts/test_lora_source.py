"""A run that trained adapters is a source like any other: what it predicted is what the loaded model predicts."""

import jax
import numpy as np
import pytest

import tlj
from tlj.models.lora import ROOT
from tlj.models.registry import build
from tlj.pretrained.runs import read_run, read_variables
from tlj.training.evaluate import predict
from tlj.training.inputs import evaluation_inputs
from tlj.training.loop import Surroundings, train_run
from tlj.training.parallel import batch_sharding
from tlj.training.run_files import read_predictions
from tlj.training.step import make_evaluate_step


@pytest.fixture(scope="module", params=["vit", "bert"])
def adapted_run(request, transfer, programs, tmp_path_factory):
    """The setup and the directory of a run that has trained adapters well away from nothing."""
    setup = transfer(request.param, "lora:2", {"steps": 30, "optimizer": {"learning_rate": 0.03}})
    directory = tmp_path_factory.mktemp(request.param) / "run"
    train_run(setup, directory, "hash", Surroundings(programs))
    return setup, directory


def test_the_loaded_model_gives_the_logits_that_the_run_predicted(adapted_run):
    setup, directory = adapted_run
    model = tlj.load(directory)
    assert ROOT not in model.variables["params"]
    for name, (logits, labels) in read_predictions(directory / "predictions.parquet").items():
        examples = getattr(setup.split, name)
        batch = setup.source.batch(examples)
        np.testing.assert_array_equal(batch["label"], labels)
        found = np.asarray(model(evaluation_inputs(batch, model.preprocessing)))
        np.testing.assert_allclose(found, logits, atol=1e-5)
        assert np.ptp(logits) > 0.1


def test_the_adapters_matter_to_what_is_predicted(adapted_run):
    setup, directory = adapted_run
    variables, _ = read_variables(directory)
    examples = setup.split.validation
    without = {name: tree for name, tree in variables["params"].items() if name != ROOT}
    inputs = evaluation_inputs(setup.source.batch(examples), setup.preprocessing)
    logits = build(setup.spec).apply({"params": without}, inputs)
    predicted, _ = read_predictions(directory / "predictions.parquet")["validation"]
    assert np.abs(np.asarray(logits) - predicted).max() > 1e-2


def test_merged_adapters_predict_as_adapters_do(adapted_run):
    setup, directory = adapted_run
    variables, _ = read_variables(directory)
    assert ROOT in variables["params"]
    examples, batch_size = setup.split.test, setup.config["evaluate"]["batch_size"]

    def logits(variables, adapters):
        evaluate = jax.jit(make_evaluate_step(setup.module, setup.preprocessing, adapters))
        return predict(
            lambda batch: evaluate, variables, setup.source, examples, batch_size, batch_sharding(setup.mesh)
        )

    merged, beside = logits(read_run(directory).variables, None), logits(variables, setup.settings.adapters)
    np.testing.assert_allclose(merged, beside, atol=1e-5)


def test_what_was_frozen_beside_the_adapters_is_that_of_the_source(adapted_run, sources):
    setup, directory = adapted_run
    ours = read_variables(directory)[0]["params"]["backbone"]
    theirs = read_variables(sources[setup.config["model"]["family"]])[0]["params"]["backbone"]
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_run_may_transfer_from_a_run_with_adapters(adapted_run, set_up_run, programs, tmp_path):
    setup, directory = adapted_run
    changes = {"model": {"source": str(directory)}, "strategy": "linear_probe", "steps": 3}
    probe = set_up_run({name: setup.config[name] for name in ("model", "data", "evaluate", "label_budget")}, changes)
    train_run(probe, tmp_path, "hash", Surroundings(programs))
    found, merged = read_variables(tmp_path)[0]["params"], read_run(directory).variables["params"]
    assert ROOT not in found
    jax.tree.map(np.testing.assert_array_equal, found["backbone"], merged["backbone"])
