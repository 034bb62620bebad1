"""Where and when something was measured, and with what: what a figure is worth nothing without."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from typing import Any

import jax

import tlj
from tlj.training.manifest import PACKAGES


def measured_on() -> dict[str, Any]:
    """Returns ``date`` (UTC), ``device`` (its kind), ``platform``, ``device_count`` and ``versions``."""
    device = jax.devices()[0]
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device.device_kind,
        "platform": device.platform,
        "device_count": jax.device_count(),
        "versions": {"tlj": tlj.__version__, "python": platform.python_version(), **versions},
    }
