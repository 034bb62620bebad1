import json

import pytest

from tlj.evidence.money.cost import cost
from tlj.evidence.page.cost import cost_context
from tlj.evidence.runs import read_comparison

KEPT = {"depth": 12, "file": "a", "bytes": 400, "examples": 10, "seconds": 2.0, "flops": 1e9}


@pytest.fixture
def cached(make_comparison, tmp_path):
    """A comparison whose probes started from one file of activations, which grew between them."""
    directory = make_comparison(tmp_path / "c", arms=("linear_probe", "scratch"), budgets=(10,), seeds=(0, 1))
    for number, path in enumerate(sorted(directory.glob("runs/linear_probe*/*/*/summary.json"))):
        summary = json.loads(path.read_text())
        grown = {**KEPT, "examples": 10 + number, "flops": (1 + number) * 1e9}
        told = {"flops_per_step": 5.0, "training_total": 1000.0, "relative_flops": 0.1, "kept": [grown]}
        summary["cost"] = {**summary.get("cost", {}), "cached": told}
        path.write_text(json.dumps(summary))
    return directory


def test_making_activations_is_charged_once_to_the_comparison(cached):
    found = cost(read_comparison(cached))
    probe, scratch = found["arms"]
    assert (probe["cached_flops_per_step"], probe["cached_flops_grid"]) == (5.0, 2000.0)
    assert scratch["cached_flops_grid"] is None
    kept = found["cached"]
    assert (kept["files"], kept["examples"], kept["bytes"], kept["flops"]) == (1, 11, 400, 2e9)
    assert kept["flops_without"] == probe["training_flops_grid"] + scratch["training_flops_grid"]
    assert kept["flops_with"] == 2000.0 + scratch["training_flops_grid"] + 2e9


def test_a_comparison_without_a_cache_says_nothing_of_one(comparison_directory):
    found = cost(read_comparison(comparison_directory))
    assert found["cached"] is None
    assert all(row["cached_flops_per_step"] is None for row in found["arms"])


def test_the_page_tells_both_accountings(cached):
    comparison = read_comparison(cached)
    found = cost(comparison)
    words = cost_context(comparison, {"cost": found, "twin": "scratch", "metric": "accuracy"})["cached_words"]
    assert "for 11 examples in 2" in words
    assert f"{found['cached']['flops_with']:.3g} FLOPs" in words
    assert f"{found['cached']['flops_without']:.3g} that" in words
