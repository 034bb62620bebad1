"""A synthetic comparison: run files as `tlj compare` writes them, with logits drawn to a known accuracy."""

from __future__ import annotations

import json
import math
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlj.evidence.report import write_report
from tlj.evidence.run_files import Run, RunKey
from tlj.evidence.runs import Arm, Comparison
from tlj.evidence.scores.metrics import Scores

ARMS = ("scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var")
BUDGETS = (10, 25, 50, 100, 200, 538)
SEEDS = (0, 1, 2, 3, 4)
CLASSES = ("5", "6", "7", "8", "9")
TEST, VALIDATION = 359, 20
ACCURACIES = {
    "scratch": (0.46, 0.62, 0.74, 0.83, 0.90, 0.945),
    "linear_probe": (0.57, 0.66, 0.70, 0.72, 0.73, 0.735),
    "last_blocks:1": (0.58, 0.71, 0.78, 0.82, 0.85, 0.87),
    "full": (0.62, 0.75, 0.83, 0.89, 0.915, 0.947),
    "full@mean_var": (0.48, 0.64, 0.755, 0.84, 0.905, 0.946),
}
TRAINED = {"scratch": 40_000, "linear_probe": 165, "last_blocks:1": 12_000, "full": 40_000, "full@mean_var": 40_000}
RELATIVE_FLOPS = {"scratch": 1.0, "linear_probe": 0.34, "last_blocks:1": 0.5, "full": 1.0, "full@mean_var": 1.0}


def draw_logits(labels: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Returns logits whose largest entry is the label in close to the given share of rows."""
    logits = rng.normal(0.0, 1.0, (len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] = -np.inf
    others = logits.max(axis=1)
    right = rng.permutation(len(labels)) < round(accuracy * len(labels))
    gap = rng.exponential(1.0 + 3.0 * accuracy, len(labels)) + 0.01
    logits[np.arange(len(labels)), labels] = others + np.where(right, gap, -gap / 2)
    return logits.astype(np.float32)


def write_predictions(path: Path, labels: np.ndarray, logits: np.ndarray, splits: list[str]) -> None:
    """Writes a `predictions.parquet`."""
    table = pa.table(
        {
            "id": pa.array([f"digit-{i:04d}" for i in range(len(labels))]),
            "label": pa.array(labels, pa.int32()),
            "logits": pa.array(list(logits), pa.list_(pa.float32())),
            "group": pa.nulls(len(labels), pa.string()),
            "split": pa.array(splits),
        }
    )
    pq.write_table(table, path)


def arm_entry(arm: str) -> dict[str, Any]:
    """Returns the arm's entry in `comparison.json`."""
    strategy, _, init = arm.partition("@")
    init = init or ("scratch" if strategy == "scratch" else "pretrained")
    diff = {} if arm == "scratch" else {"strategy": ["scratch", strategy], "init": ["scratch", init]}
    return {"arm": arm, "strategy": strategy, "init": init, "declared": {}, "diff": diff}


def run_path(arm: str, budget: int, seed: int) -> str:
    """Returns where a run's directory lies."""
    return f"runs/{arm.replace(':', '-').replace('@', '-from-').replace('/', '-')}/{budget}/{seed}"


def write_run(directory: Path, arm: str, budget: int, seed: int, accuracy: float) -> None:
    """Writes one finished run."""
    run = directory / run_path(arm, budget, seed)
    run.mkdir(parents=True)
    labels = np.arange(TEST + VALIDATION, dtype=np.int32) % len(CLASSES)
    rng = np.random.default_rng([zlib.crc32(arm.encode()), budget, seed])
    splits = ["test"] * TEST + ["validation"] * VALIDATION
    write_predictions(run / "predictions.parquet", labels, draw_logits(labels, accuracy, rng), splits)
    trained = TRAINED.get(arm, 40_000)
    relative = RELATIVE_FLOPS.get(arm, 1.0)
    summary = {
        "strategy": arm_entry(arm)["strategy"],
        "init": arm_entry(arm)["init"],
        "seed": seed,
        "label_budget": budget,
        "steps": 200,
        "classes": list(CLASSES),
        "metrics": {},
        "parameters": {"total": 40_000, "trained": trained},
        "flops": {"per_step": 6e9 * relative, "training_total": 1.2e12 * relative},
        "timing": {"wall_s": 1.5, "train_s": 1.0 + 0.1 * seed, "step_s": 0.004},
        "cost": {"devices": 1, "accelerator_seconds": 0.8},
    }
    (run / "summary.json").write_text(json.dumps(summary))
    manifest = {
        "versions": {"python": "3.11.9", "jax": "0.10.2", "flax": "0.12.0", "tlj": "0.1.0"},
        "devices": {"platform": "cpu", "kind": "cpu", "count": 1},
        "data": {"source": "digits:5-9", "hash": "3f2a9c", "split": {"hash": "77ab01"}},
        "config_hash": "c0ffee",
    }
    (run / "manifest.json").write_text(json.dumps(manifest))


def write_comparison(
    directory: Path,
    arms: tuple[str, ...] = ARMS,
    budgets: tuple[int, ...] = BUDGETS,
    seeds: tuple[int, ...] = SEEDS,
    accuracies: dict[str, tuple[float, ...]] = ACCURACIES,
    unfinished: Callable[[str, int, int], bool] = lambda arm, budget, seed: False,
    step_time: bool = True,
) -> Path:
    """Writes a comparison directory; `unfinished` says which runs have no files yet."""
    keys = [(arm, budget, seed) for arm in arms for budget in budgets for seed in seeds]
    declared = {
        "task": "digits:5-9",
        "source_task": "digits:0-4",
        "metric": "accuracy",
        "margin": 0.005,
        "twin": arms[0],
        "arms": [arm_entry(arm) for arm in arms],
        "budgets": list(budgets),
        "seeds": list(seeds),
        "model": {"family": "vit", "width": 48, "depth": 3, "heads": 3, "patch_size": 2},
        "steps": 200,
        "global_batch_size": 32,
        "command": "tlj compare --config=configs/digits.py --workdir=DIR",
        "runs": [{"arm": a, "budget": b, "seed": s, "path": run_path(a, b, s)} for a, b, s in keys],
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "comparison.json").write_text(json.dumps(declared))
    for arm, budget, seed in keys:
        if not unfinished(arm, budget, seed):
            target = accuracies[arm][budgets.index(budget)]
            # Seeds move an arm and its twin together, and each a little on its own.
            shared = 0.9 * math.sin(1.7 * seed + budget)
            own = math.sin(5.3 * seed + 2.1 * budget + zlib.crc32(arm.encode()) % 97)
            spread = 0.35 * (1 - target) / math.sqrt(budget / 2)
            write_run(directory, arm, budget, seed, min(max(target + spread * (shared + 0.5 * own), 0.0), 1.0))
    if step_time:
        rows = {arm: 0.001 + 0.003 * RELATIVE_FLOPS.get(arm, 1.0) for arm in arms}
        times = {arm: {"median_s": s, "p5_s": 0.9 * s, "p95_s": 1.2 * s, "windows": 5} for arm, s in rows.items()}
        (directory / "step_time.json").write_text(json.dumps({"device": "TFRT_CPU", "devices": 1, "arms": times}))
    return directory


@pytest.fixture(scope="session")
def comparison_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison of 150 runs; tests read it and do not write to it."""
    return write_comparison(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="session")
def reported(comparison_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that comparison with its report; whoever writes into it writes the same again."""
    directory = tmp_path_factory.mktemp("reported") / "comparison"
    shutil.copytree(comparison_directory, directory)
    assert write_report(directory) == directory / "report.html"
    return directory


@pytest.fixture(scope="session")
def make_comparison() -> Callable[..., Path]:
    """Writes a comparison of the caller's choosing."""
    return write_comparison


def in_memory_comparison(
    accuracies: dict[str, dict[int, list[float]]], missing: int = 0, margin: float = 0.005, examples: int = 1000
) -> Comparison:
    """Returns a comparison without files; the first arm is the twin, the loss is a fixed function of the accuracy."""
    names = list(accuracies)
    budgets = sorted({budget for cells in accuracies.values() for budget in cells})
    arms = []
    for name in names:
        entry = arm_entry(name)
        starts_elsewhere = entry["init"] in ("scratch", "mean_var")
        role = "twin" if name == names[0] else "control" if starts_elsewhere else "transfer"
        arms.append(Arm(name, entry["strategy"], entry["init"], role, {}))
    runs = tuple(
        Run(RunKey(name, budget, seed, run_path(name, budget, seed)), {}, Scores(value, 2.5 * (1 - value), examples))
        for name in names
        for budget, values in accuracies[name].items()
        for seed, value in enumerate(values)
    )
    declared = {"task": "t", "metric": "accuracy", "margin": margin, "twin": names[0], "budgets": budgets, "seeds": [0]}
    declared |= {"steps": 200, "global_batch_size": 32}
    absent = tuple(RunKey(names[0], budgets[-1], 100 + i, "absent") for i in range(missing))
    return Comparison(Path(), declared, tuple(arms), runs, absent, None, None)


def around(mean: float, spread: float = 0.004) -> list[float]:
    """Returns five values with that mean, the same shape for every call: paired differences have no spread."""
    return [mean + spread * step for step in (-1.0, -0.5, 0.0, 0.5, 1.0)]


@pytest.fixture(scope="session")
def in_memory() -> Callable[..., Comparison]:
    """Builds a comparison from `{arm: {budget: accuracies}}`."""
    return in_memory_comparison


@pytest.fixture(scope="session")
def five_seeds() -> Callable[..., list[float]]:
    """Five accuracies around a mean."""
    return around


@pytest.fixture(scope="session")
def write_predictions_file() -> Callable[..., None]:
    """Writes a `predictions.parquet` of the caller's choosing."""
    return write_predictions
