import pytest

from tlj.benchmark.peaks import flops_utilisation, peak_flops


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
