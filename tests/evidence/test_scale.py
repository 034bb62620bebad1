"""A comparison of many runs."""

import gc
import json

import numpy as np
import pytest

from tests.evidence.scale import write_grid
from tlj.evidence.predictions import Predictions, read_predictions
from tlj.evidence.runs import read_comparison
from tlj.evidence.summary import build_summary


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("scale")
    assert write_grid(path, 300) == 300
    return path


def test_every_run_of_many_is_scored_and_no_logits_stay(directory):
    comparison = read_comparison(directory)
    gc.collect()
    assert not [kept for kept in gc.get_objects() if isinstance(kept, Predictions)]
    assert len(comparison.runs) == 300
    for run in comparison.runs[::60]:
        test = read_predictions(directory / run.key.path / "predictions.parquet", "test")
        assert run.scores.accuracy == np.mean(test.logits.argmax(1) == test.labels)
        assert comparison.cell(run.key.arm, run.key.budget)[run.key.seed] is run.scores


def test_the_summary_of_many_runs_is_whole_and_plain(directory):
    summary = build_summary(read_comparison(directory))
    json.dumps(summary, allow_nan=False)
    assert len(summary["cells"]) == len(summary["metrics"]) == len(summary["calibration"]) == 5 * 10
    assert all(len(cell["seeds"]) == 6 for cell in summary["cells"])
