"""The file of prices that a comparison is reported with."""

from __future__ import annotations

import pathlib
import shutil

from ml_collections import ConfigDict

from tlj.evidence.money.prices import FILE, read_prices
from tlj.named_paths import named_path


def copy_prices(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Copies the file that ``config.prices`` names to where the report looks for it; a later one replaces it.

    Args:
      config: of the comparison.
      workdir: of the comparison.
    """
    if config.prices:
        shutil.copyfile(named_path(config.prices, "config.prices"), workdir / FILE)


def price_of_an_hour(config: ConfigDict, device_kind: str) -> float | None:
    """Returns dollars per device-hour of a kind of device, or None where nothing says.

    Args:
      config: of the comparison.
      device_kind: as JAX reports it.
    """
    if not config.prices:
        return None
    accelerator = read_prices(named_path(config.prices, "config.prices")).accelerator(device_kind)
    price = accelerator and accelerator.value("dollars_per_chip_hour")
    return None if price is None else price / accelerator.value("devices_per_chip", 1.0)
