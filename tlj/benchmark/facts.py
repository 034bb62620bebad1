"""Where and when something was measured, and with what: what a figure is worth nothing without.

``python -m tlj.benchmark.facts --json=FILE`` prints it and writes it.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import jax

import tlj
from tlj.benchmark.command import command, exit_code
from tlj.training.manifest import PACKAGES
from tlj.training.run_files import write_json


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


def main(argv: Sequence[str]) -> None:
    """Prints the facts as JSON."""
    words = command("tlj.benchmark.facts", __doc__)
    words.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write them to FILE")
    arguments, _ = words.take(argv)
    facts = measured_on()
    print(json.dumps(facts), flush=True)
    if arguments.json is not None:
        write_json(arguments.json, facts)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
