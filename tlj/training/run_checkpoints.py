"""The checkpoints of a run, as its config and its setup have them."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tlj.models.registry import family_of
from tlj.training.checkpoints import Checkpoints
from tlj.training.delta import delta_of
from tlj.training.provenance import Provenance
from tlj.training.retention import Retention
from tlj.training.setup import Setup


def about_run(config: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a checkpoint tells of its run to whoever has nothing else of it.

    Args:
      config: resolved, nested.
      manifest: of the run; the ids of its examples are left out.
    """
    data = {name: value for name, value in manifest.get("data", {}).items() if name not in ("split", "skipped")}
    return {"config": dict(config), "manifest": {**manifest, "data": data}}


def open_checkpoints(
    setup: Setup, directory: pathlib.Path, config_hash: str, manifest: Mapping[str, Any]
) -> Checkpoints:
    """Returns the checkpoints of a run.

    Args:
      setup: of the run.
      directory: of the run.
      config_hash: of the resolved config.
      manifest: of the run.
    """
    settings, adapters = setup.config["checkpoint"], setup.settings.adapters
    # A linear head is not told: checkpoints are older than heads of several layers.
    told = {name: value for name, value in asdict(setup.spec).items() if name != "head_layers" or value}
    model = [family_of(setup.spec).name, told, adapters and asdict(adapters)]
    return Checkpoints(
        directory / "checkpoints",
        Retention(settings["latest"], settings["best"], settings["metric"]),
        Provenance(
            config=config_hash,
            model=_hash(model),
            classes=_hash(list(setup.source.classes)),
            phases=setup.phases,
            about=about_run(setup.config, manifest),
            evaluated="ema" if setup.config["evaluate"]["ema"] else "params",
        ),
        delta=delta_of(setup),
        background=settings["background"],
    )


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
