import json
import pathlib

import pytest

from tlj.benchmark.topology.facts import Facts
from tlj.benchmark.topology.forecast import phase_row, topology_row
from tlj.benchmark.topology.largest_batch import Largest
from tlj.benchmark.topology.text import format_topology

RECORDED = json.loads((pathlib.Path(__file__).parents[2] / "golden" / "topologies.json").read_text())
COSTS = {
    "price": None,
    **{
        f"predicted_{what}": {"steps": 200.0, "hours": 0.5, "chip_hours": 8.0, "dollars": None}
        for what in ("run", "comparison")
    },
}


@pytest.fixture
def row(chips):
    """The figures of a ViT-B/16 that the TPU compiler gave."""
    facts = Facts(**RECORDED["answers"]["128"])
    found = topology_row(chips(RECORDED["slice"]), 128, {0: facts}, Largest(128, True, False, (128, 64)))
    return {**found, "max_batch_flops_per_example": 1e11, "max_batch_predicted_examples_per_s": 13000.0, **COSTS}


def test_a_vit_b16_is_bound_by_memory_and_fits(row):
    assert row["fits"]
    assert row["bound"] == "memory"
    # Three times the 17.6 GMACs of a forward pass, two FLOPs each (Dosovitskiy et al. 2021).
    assert row["flops_per_example"] == pytest.approx(105.6e9, rel=0.02)
    assert row["temporary_bytes_per_example"] < 120e6
    # Gradients go around in bfloat16, two bytes for each of 86 M parameters.
    assert row["all_reduce_bytes"] == pytest.approx(2 * 85.8e6, rel=0.01)


def test_a_larger_batch_reads_the_weights_less_often(chips):
    of = {batch: phase_row(chips(), batch, 0, Facts(**RECORDED["answers"][str(batch)])) for batch in (64, 128)}
    assert of[128]["bytes_per_example"] < of[64]["bytes_per_example"]
    assert of[128]["hbm_bytes"] > of[64]["hbm_bytes"]


def test_the_figures_of_a_slice_are_lines_of_one_kind_each(row):
    lines = format_topology(row).splitlines()
    assert lines[0] == "v5e:4x4: 16 chips of TPU v5e, 128 examples per chip, 2,048 in all"
    assert [line[2:24].strip() for line in lines[1:]] == [
        "memory per chip", "largest batch", "a step, per chip", "an example", "predicted step", "predicted speed",
        "predicted run", "predicted comparison",
    ]  # fmt: skip
    assert lines[1].split()[3:4] == ["fits:"]
    assert "bound by memory" in lines[5]
    assert "100.00 GFLOP an example, predicted 13,000 examples/s" in lines[2]


def test_no_batch_at_all_is_told_with_what_was_tried(row):
    nothing = {**row, "max_batch_per_chip": 0, "max_batch_compiled": [128, 64, 8]}
    assert "largest batch         none of those compiled fits: 128, 64, 8 per chip" in format_topology(nothing)
