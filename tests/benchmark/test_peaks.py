import pytest

from tlj.benchmark.peaks import ACCELERATORS, accelerator, flops_utilisation, peak_flops


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v5", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
    ],
)
def test_a_known_device_has_the_peak_of_its_data_sheet(kind, teraflops):
    assert peak_flops(kind) == teraflops * 1e12


@pytest.mark.parametrize("kind", ["cpu", "TPU v4 lite", "TPU v3", "NVIDIA H100 PCIe", "NVIDIA GeForce RTX 4090"])
def test_a_device_whose_peak_is_not_known_has_none_rather_than_that_of_a_relative(kind):
    assert peak_flops(kind) is None
    assert flops_utilisation(1e12, 1.0, 1, kind) is None


def test_utilisation_counts_every_device():
    # 4 devices of 197 TFLOPs could do 788e12 FLOPs in a second; half of that in a second is half.
    assert flops_utilisation(394e12, 1.0, 4, "TPU v5 lite") == pytest.approx(0.5)
    assert flops_utilisation(394e12, 0.5, 4, "TPU v5 lite") == pytest.approx(1.0)


def test_every_tpu_has_all_that_a_plan_needs_and_gives_programs_less_memory_than_it_has():
    tpus = [chip for chip in ACCELERATORS if chip.slices]
    assert [chip.slices for chip in tpus] == ["v4", "v5e", "v5p", "v6e"]
    for chip in tpus:
        assert chip.name == f"TPU {chip.slices}"
        assert 0.9 * chip.hbm_bytes < chip.usable_bytes < chip.hbm_bytes
        # Compute needs a few hundred operations per byte of memory, and links are slower than memory.
        assert 150 < chip.flops / chip.hbm_bandwidth < 600
        assert 0.1 < chip.interconnect / chip.hbm_bandwidth < 0.3


def test_an_accelerator_is_known_by_its_longest_name():
    names = {kind: accelerator(kind).name for kind in ("TPU v5 lite", "TPU v5", "TPU v5p")}
    assert names == {"TPU v5 lite": "TPU v5e", "TPU v5": "TPU v5p", "TPU v5p": "TPU v5p"}
    assert accelerator("TPU v4 lite") is None
