"""What the files of a run tell of the model that is exported from it."""

import dataclasses
import json
import shutil

import pytest

import tlj
from tlj.pretrained.export.run_facts import run_facts


@pytest.fixture
def run(vit_run, tmp_path):
    """A copy of a finished run, to be changed."""
    return shutil.copytree(vit_run, tmp_path / "comparison" / "runs" / "full" / "40" / "0")


def rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def facts(run, **told):
    return tuple("\n".join(lines) for lines in run_facts(tlj.load(run, **told)))


def test_a_run_tells_how_it_was_made(run):
    making, _ = facts(run)
    manifest = json.loads((run / "manifest.json").read_text())
    for text in (
        *("Strategy `scratch`, init `scratch`", f"Data `digits:0-4`, content hash `{manifest['data']['hash']}`"),
        *("Label budget 40: 32 to train on, 8 to validate on.", "Seed 0; 3 steps of 8 examples."),
        *("The weights here are those of step 3.", f"`jax {manifest['versions']['jax']}`"),
    ):
        assert text in making


@pytest.mark.parametrize(
    ("init", "told"),
    [
        ("pretrained", "Source of the backbone: `owner/name`"),
        ("scratch", "Architecture and preprocessing: `owner/name`"),
        ("mean_var", "Mean and variance at which the backbone was redrawn: `owner/name`"),
    ],
)
def test_only_what_a_run_took_from_its_source_is_said_to_be_from_there(run, init, told):
    rewrite(run / "manifest.json", init=init)
    rewrite(run / "config.json", model={"family": "vit", "source": "owner/name"})
    assert told in facts(run)[0]


def test_a_finished_run_tells_its_figures_with_seed_and_budget(run):
    metrics = json.loads((run / "summary.json").read_text())["metrics"]
    _, figures = facts(run)
    assert f"Test accuracy {metrics['test_accuracy']:.1%}, loss {metrics['test_loss']:.4f}" in figures
    assert "one run, seed 0, at a label budget of 40." in figures
    assert f"Validation accuracy {metrics['validation_accuracy']:.1%}" in figures
    assert "interval" not in figures


def test_a_run_of_a_reported_comparison_tells_the_interval_over_its_seeds(run):
    declared = {"runs": [{"arm": "full", "budget": 40, "seed": 0, "path": "runs/full/40/0"}]}
    cells = [
        {"arm": "scratch", "budget": 40, "seeds": [0, 1, 2], "mean": 0.1, "interval": [0.1, 0.2]},
        {"arm": "full", "budget": 40, "seeds": [0, 1, 2], "mean": 0.5, "interval": [0.4, 0.625]},
    ]
    (run.parents[3] / "comparison.json").write_text(json.dumps(declared))
    (run.parents[3] / "summary.json").write_text(json.dumps({"cells": cells, "confidence": 0.95}))
    assert "Over the 3 seeds of its comparison: test accuracy 50.0%, 95% interval 40.0% to 62.5%." in facts(run)[1]


def test_the_figures_of_the_last_step_are_not_given_to_another(run):
    rewrite(run / "summary.json", steps=9)
    (run / "metrics.jsonl").write_text('{"step": 3, "validation_loss": 1.25, "validation_accuracy": 0.5}\n{"cut')
    _, figures = facts(run)
    assert "Only the last step, 9, was tested; these are the weights of step 3." in figures
    assert "Validation accuracy 50.0%, loss 1.2500, at step 3." in figures
    assert "Test accuracy" not in figures


def test_a_run_that_was_not_finished_says_so(run):
    (run / "summary.json").unlink()
    making, figures = facts(run)
    assert "The run was not finished, so nothing was tested." in figures
    assert "Label budget 40." in making


@pytest.mark.parametrize("told", [{"num_classes": 5}, {"mean": (0.1, 0.2, 0.3)}, {"pool": "mean"}, {"image_size": 12}])
def test_the_figures_of_a_run_are_not_those_of_a_model_made_of_it_otherwise(run, told):
    _, figures = facts(run, **told)
    assert figures == "This is not the model as the run left it, so the figures of the run are not its own."


@pytest.mark.parametrize("init", ["scratch", "mean_var"])
def test_a_twin_is_not_said_to_be_the_run(run, init):
    assert facts(run, init=init) == ("", "")


def test_what_is_no_run_has_nothing_to_tell(load_golden):
    assert run_facts(load_golden("vit_gelu")) == ([], [])


def test_the_source_is_told_without_the_machine_it_was_on(run):
    config = json.loads((run / "config.json").read_text())
    rewrite(run / "config.json", model={**config["model"], "source": "/home/someone/models/base"})
    model = json.loads((run / "manifest.json").read_text())["model"]
    rewrite(run / "manifest.json", init="pretrained", model={**model, "source_identity": "abc123"})
    making, _ = facts(run)
    assert "Source of the backbone: `base`, hash `abc123`." in making
    assert "someone" not in making


def test_text_in_the_files_cannot_become_markup(run):
    rewrite(run / "config.json", strategy="`</code><script>alert(1)</script>\n# x", steps="<b>")
    making, _ = facts(run)
    assert "Strategy `` `</code><script>alert(1)</script> # x ``" in making
    assert "`<b>` steps" in making


def test_files_of_other_types_than_expected_do_not_stop_an_export(run):
    rewrite(run / "config.json", model=[], seed=None)
    rewrite(run / "summary.json", metrics="none", test_examples=None)
    making, figures = facts(run)
    assert "Seed `not known`" in making
    assert "Test accuracy not known" in figures


def test_a_run_that_was_removed_since_the_load_has_nothing_to_tell(run):
    assert run_facts(dataclasses.replace(tlj.load(run), location=str(run / "gone"))) == ([], [])
