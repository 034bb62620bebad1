"""A run of every task, from `tlj train` on real images to what is predicted with it."""

import io
import json

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tlj
from tlj import config as configuration
from tlj.data.parts import pool_and_test
from tlj.data.settings import DataSettings
from tlj.data.sources import open_source
from tlj.errors import InputError
from tlj.evidence.report import write_report
from tlj.experiments.compare import compare, train
from tlj.metric_names import main_metric, metric_names
from tlj.pretrained.export.run_facts import run_facts
from tlj.training.predict import predict
from tlj.training.run_files import read_metrics, read_predictions

LOOPS, ROUND = (0, 6, 8, 9), (0, 3, 6, 8, 9)
# What a run must reach to have learnt something; a guess at random, or the mean, is at the second figure.
REACHED = {"binary": ("auroc", 0.9, 0.5), "multilabel": ("macro_f1", 0.75, 0.6), "regression": ("r2", 0.5, 0.0)}


def png(image):
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Handwritten digits with what holds of each, and with how much ink it took."""
    source = open_source("digits")
    chosen = np.arange(600)
    holds = {"even": lambda digit: digit % 2 == 0, "loop": lambda digit: digit in LOOPS, "round": lambda d: d in ROUND}
    rows = [
        {
            "image": png(source.images[i]),
            "holds": [name for name, of in holds.items() if of(int(source.labels[i]))],
            "ink": float(source.images[i].mean()) * 100,
        }
        for i in chosen
    ]
    file = tmp_path_factory.mktemp("digits") / "digits.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


@pytest.fixture
def config_of(table, tmp_path):
    """Builds the config of a task: ``config_of("binary")``."""
    columns = {"multilabel": "holds", "regression": "ink"}

    def make(task, **changes):
        if task in columns:
            data = {"source": f"parquet:{table}", "columns": {"label": columns[task]}}
        else:
            data = {"source": "digits:3-4"}
        settings = {"image_size": 8} if task in columns else {}
        model = {"settings": {"patch_size": 4, "width": 24, "depth": 1, "heads": 2, **settings}}
        tiny = {"steps": 120, "global_batch_size": 32, "log": {"every": 40}, "evaluate": {"every": 60}}
        optimizer = {"learning_rate": 5e-3, "warmup": "5 steps", "weight_decay": 0.0}
        changes = {"workdir": str(tmp_path / "run"), "task": task, "model": model, "data": data} | changes
        config = configuration.merge(configuration.default(), {**tiny, "strategy": "scratch", "optimizer": optimizer})
        return configuration.merge(config, changes)

    return make


@pytest.mark.parametrize("task", REACHED)
def test_a_run_learns_and_tells_the_metrics_of_its_task(task, config_of, tmp_path):
    config = config_of(task)
    run = train(config)
    metrics = json.loads((run / "summary.json").read_text())["metrics"]
    assert set(metrics) == {*metric_names(task), *metric_names(task, part="test"), "train_loss"}
    name, least, by_chance = REACHED[task]
    assert metrics[f"test_{name}"] > least > by_chance
    rows = read_metrics(run / "metrics.jsonl")
    validated = [row for row in rows if "validation_loss" in row]
    assert [row["step"] for row in validated] == [60, 120]
    assert set(metric_names(task)) <= set(validated[0])
    losses = [row["loss"] for row in rows if "loss" in row]
    # A run that predicts the mean has a loss of 1 on the scale of its labels, whatever their unit is.
    assert losses[-1] < losses[0] < 2

    data = config.data.to_dict()
    source = open_source(DataSettings.of(data, task))
    _, test = pool_and_test(source, data)
    predicted = predict(run, configuration.default().to_dict() | {"data": data}, tmp_path / "p.parquet")
    assert (predicted.task, predicted.examples) == (task, len(source.labels))
    place = dict(zip(pq.read_table(tmp_path / "p.parquet")["id"].to_pylist(), range(predicted.examples), strict=True))
    rows = [place[source.ids[i]] for i in test]
    logits, labels = read_predictions(tmp_path / "p.parquet")["all"]
    own_logits, own_labels = read_predictions(run / "predictions.parquet")["test"]
    np.testing.assert_array_equal(labels[rows], own_labels)
    np.testing.assert_allclose(logits[rows], own_logits, rtol=1e-4, atol=1e-4 * np.abs(own_logits).max())

    model = tlj.load(run)
    assert (model.task, model.classes) == (task, source.classes)
    assert model.spec.num_classes == own_logits.shape[1]
    assert f"Test {main_metric(task, part='').replace('_', ' ')} " in run_facts(model)[1][0]


def small_comparison(config_of, task, workdir, metric=""):
    small = {"arms": ("scratch",), "twin": "scratch", "label_budgets": (40,), "seeds": (0, 1), "steps": 4}
    return compare(config_of(task, workdir=str(workdir), metric=metric, **small), "tlj compare")


@pytest.mark.parametrize(
    ("task", "metric", "judged"), [("multilabel", "", "mean_average_precision"), ("regression", "mae", "mae")]
)
def test_a_comparison_is_judged_by_a_metric_of_its_task(config_of, tmp_path, task, metric, judged):
    write_report(small_comparison(config_of, task, tmp_path, metric))
    summary = json.loads((tmp_path / "summary.json").read_text())
    run = json.loads(next(tmp_path.glob("runs/**/summary.json")).read_text())
    assert summary["metric"] == judged
    assert run["metrics"][f"test_{judged}"] == pytest.approx(summary["cells"][0]["values"][run["seed"]])
    assert [curve["measure"] for curve in summary["effective_data_curves"]] == ["loss"]


def test_a_metric_that_the_task_lacks_is_refused_before_any_work(config_of, tmp_path):
    with pytest.raises(InputError, match="config.metric: unknown metric 'acuracy'; did you mean 'accuracy'"):
        small_comparison(config_of, "binary", tmp_path / "c", "acuracy")
    with pytest.raises(InputError, match="config.metric: unknown metric 'accuracy'; did you mean 'subset_accuracy'"):
        small_comparison(config_of, "multilabel", tmp_path / "c", "accuracy")
    assert not list(tmp_path.glob("c/runs/*"))
