"""A run that is exported predicts elsewhere what it predicted here, whatever it trained and however it was kept."""

import numpy as np
import pytest

import tlj
from tlj.freezing.digests import leaf_digests
from tlj.models.lora import ROOT
from tlj.training.inputs import evaluation_inputs
from tlj.training.loop import Surroundings, train_run
from tlj.training.run_files import read_predictions

KEPT = {"whole": {}, "delta": {"checkpoint": {"keep": "trainable"}}}


@pytest.fixture(scope="module")
def trained(transfer, programs, tmp_path_factory):
    """Trains a run on its family's source: ``trained("vit", "lora:2", "whole")`` gives its setup and directory."""

    def train(family, strategy, kept):
        setup = transfer(family, strategy, KEPT[kept], {"steps": 10, "optimizer": {"learning_rate": 0.03}})
        directory = tmp_path_factory.mktemp(family) / "run"
        train_run(setup, directory, "hash", Surroundings(programs))
        return setup, directory

    return train


@pytest.mark.parametrize(
    ("family", "strategy", "kept", "format"),
    [
        ("vit", "lora:2", "whole", "huggingface"),
        ("bert", "lora:2", "whole", "huggingface"),
        ("vit", "linear_probe", "delta", "huggingface"),
        ("resnet", "last_blocks:1", "delta", "torch"),
    ],
)
def test_an_export_predicts_what_the_run_predicted(family, strategy, kept, format, trained, tmp_path):
    setup, directory = trained(family, strategy, kept)
    model = tlj.load(directory)
    tlj.export(model, tmp_path / "out", format)
    again = tlj.load(tmp_path / "out")
    assert ROOT not in again.variables["params"]
    assert leaf_digests(again.variables) == leaf_digests(model.variables)
    assert (again.spec, again.preprocessing, again.classes) == (model.spec, model.preprocessing, model.classes)
    logits, _ = read_predictions(directory / "predictions.parquet")["validation"]
    batch = setup.source.batch(setup.split.validation)
    found = np.asarray(again(evaluation_inputs(batch, again.preprocessing)))
    np.testing.assert_allclose(found, logits, atol=1e-5)
    assert ("Adapters (LoRA) were trained" in (tmp_path / "out" / "README.md").read_text()) == ("lora" in strategy)
