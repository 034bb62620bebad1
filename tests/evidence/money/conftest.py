"""Prices for the synthetic comparisons, whose device is a cpu."""

import pytest

from tlj.evidence.money.prices import Accelerator, Prices, Quote

NUMBERS = {
    "energy.pue": 1.5,
    "energy.location_g_per_kwh": 400.0,
    "energy.market_g_per_kwh": 0.0,
    "labels.dollars_per_label": 0.05,
    "labels.workers_per_label": 3.0,
    "pretraining.accelerator_hours": 10.0,
    "pretraining.dollars_per_accelerator_hour": 2.0,
    "pretraining.reuses": 8.0,
    "inference.requests_per_year": 2e6,
    "inference.dollars_per_million": 3.0,
}
CHIP = {"dollars_per_chip_hour": 3600.0, "watts": 200.0, "spot_factor": 0.25, "spot_restart_overhead": 0.2}


@pytest.fixture(scope="session")
def prices():
    """Prices at which an accelerator-second of these runs costs a dollar."""
    chip = Accelerator("a processor", ("CPU",), {key: Quote(value, "a bill") for key, value in CHIP.items()})
    return Prices("p.toml", "", (chip,), {key: Quote(value, "an offer", "2026") for key, value in NUMBERS.items()})
