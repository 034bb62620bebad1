"""A comparison with the files that screening writes, of features drawn to be more or less of the classes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

EXAMPLES, CLASSES = 60, 3


def write_features(path: Path, features: np.ndarray, labels: np.ndarray) -> None:
    """Writes an ``INIT.npz``."""
    with path.open("wb") as file:
        np.savez(file, features=features.astype(np.float32), labels=labels, ids=np.array("ids"), hash=np.array("h"))


def drift_row(arm: str, twin: list[float] | None) -> dict:
    """Returns the row of an arm in ``drift.json``."""
    row = {"arm": arm, "start": [1.0, 0.9, 0.5], "start_features": 0.4, "chance": [0.1, 0.2, 0.3]}
    row |= {"twin": twin, "twin_features": twin and 0.25, "chance_features": 0.05, "examples": EXAMPLES}
    return row


def write_screening(directory: Path, apart: dict[str, float]) -> Path:
    """Writes ``screening/`` into a comparison; ``apart`` says how far the classes lie apart under each init."""
    folder, rng = directory / "screening", np.random.default_rng(0)
    folder.mkdir()
    labels = (np.arange(EXAMPLES) % CLASSES).astype(np.int32)
    centres, noise = rng.normal(size=(CLASSES, 8)), rng.normal(size=(EXAMPLES, 8))
    for init, distance in apart.items():
        write_features(folder / f"{init}.npz", distance * centres[labels] + noise, labels)
    write_features(folder / "source.npz", rng.normal(1, 1, (EXAMPLES, 8)), labels)
    files = {name: {"file": f"{name}.npz", "ids": "ids", "hash": "h"} for name in (*apart, "source")}
    told = {"data": "digits:5-9", "pool": 538, "examples": EXAMPLES, "seed": 0, "files": files}
    told |= {"source": {"data": "digits:0-4", "examples": EXAMPLES}}
    (folder / "screening.json").write_text(json.dumps(told))
    arms = [drift_row("scratch", None), drift_row("full", [0.8, None, 0.2])]
    drift = {"twin": "scratch", "budget": 538, "seed": 0, "hash": "h", "arms": arms}
    (folder / "drift.json").write_text(json.dumps(drift))
    return directory


@pytest.fixture
def screened(make_comparison, tmp_path) -> Callable[..., Path]:
    """Writes a comparison of two label budgets and one seed that was screened."""

    def make(apart: dict[str, float] | None = None) -> Path:
        apart = {"mean_var": 0.8, "pretrained": 2.0, "scratch": 0.1} if apart is None else apart
        return write_screening(make_comparison(tmp_path / "screened", budgets=(10, 25), seeds=(0,)), apart)

    return make


@pytest.fixture
def feature_file() -> Callable[..., None]:
    """Writes an ``INIT.npz`` of the caller's choosing."""
    return write_features
