"""A small run on the command line, and what must be the same of two that are."""

import json

import numpy as np

from tlj.pretrained.restore import restore
from tlj.training.run_files import read_metrics, read_predictions

CONFIG = """
def get_config(arg=None):
    return {config!r}
"""
TINY = {
    "model": {"family": "vit", "settings": {"patch_size": 4, "width": 16, "depth": 2, "heads": 2, "dropout": 0.1}},
    "data": {"source": "digits", "augment": {"shift": 1}},
    "label_budget": 100,
    "strategy": "scratch",
    "steps": 120,
    "global_batch_size": 16,
    "evaluate": {"every": 10, "batch_size": 64},
    "checkpoint": {"every": 10},
    "log": {"every": 10, "seconds": 1000.0},
}


def merged(config, changes):
    """Returns nested settings with others over them."""
    result = dict(config)
    for name, value in changes.items():
        result[name] = merged(result[name], value) if isinstance(result.get(name), dict) else value
    return result


def train_words(folder, workdir, **changes):
    """Writes a configuration into a folder, and returns the words of the command that trains it."""
    path = folder / f"{workdir.name}.py"
    path.write_text(CONFIG.format(config=merged(TINY, changes)))
    return ["train", f"--config={path}", f"--workdir={workdir}"]


def rows(workdir):
    """The rows of a run's log, without what was measured in seconds."""
    return [
        {name: value for name, value in row.items() if name != "timing"}
        for row in read_metrics(workdir / "metrics.jsonl")
    ]


def lasting(workdir):
    """What a run's summary says, without what was measured in seconds."""
    summary = json.loads((workdir / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name not in ("timing", "cost")}


def assert_same_end(workdir, expected):
    """Checks that two runs ended with the same bits: parameters, predictions and summary."""
    assert lasting(workdir) == lasting(expected), workdir
    ours, theirs = restore(workdir, statistics=True), restore(expected, statistics=True)
    assert same_bits(ours, theirs), workdir
    for name, (logits, labels) in read_predictions(workdir / "predictions.parquet").items():
        others = read_predictions(expected / "predictions.parquet")[name]
        assert logits.tobytes() == others[0].tobytes(), (workdir, name)
        np.testing.assert_array_equal(labels, others[1])


def same_bits(ours, theirs):
    """Whether two nested dicts hold the same arrays, bit for bit."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same_bits(ours[name], theirs[name]) for name in ours)
    return ours.dtype == theirs.dtype and np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
