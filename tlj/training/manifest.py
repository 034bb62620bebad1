"""``manifest.json``: what a run was made of and made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax

import tlj
from tlj.freezing.optimizer import decays
from tlj.freezing.partition import FROZEN, Phase
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.runs import describe_model
from tlj.training.setup import Setup
from tlj.training.summary import parameter_sizes

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def label_table(setup: Setup, phase: Phase) -> list[dict[str, Any]]:
    """Returns the label table of a phase: one row per group, then one for what is frozen.

    Columns: name, leaves, parameters, learning_rate (peak), weight_decay (on kernels), decayed (leaves it applies to),
    norm_mode, dropout.
    """
    sizes = parameter_sizes(setup)
    optimizer = setup.config["optimizer"]
    rows = []
    for name in [*(group.name for group in phase.groups), FROZEN]:
        paths = [path for path, label in phase.labels if label == name]
        trains = name != FROZEN
        group = phase.group(name) if trains else None
        rows.append(
            {
                "name": name,
                "leaves": len(paths),
                "parameters": sum(sizes[path] for path in paths),
                "learning_rate": optimizer["learning_rate"] * group.learning_rate if group else None,
                "weight_decay": optimizer["weight_decay"] if group else None,
                "decayed": sum(decays(path) for path in paths) if group else 0,
                "norm_mode": group.norm_mode if group else FROZEN,
                "dropout": group.dropout if group else False,
            }
        )
    return [row for row in rows if row["leaves"]]


def format_label_table(groups: Sequence[Mapping[str, Any]]) -> str:
    """Returns a label table as aligned text."""
    columns = ("name", "leaves", "parameters", "learning_rate", "weight_decay", "decayed", "norm_mode", "dropout")
    cells = [
        columns,
        *(tuple("-" if group[name] is None else f"{group[name]}" for name in columns) for group in groups),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cpu_threads() -> int:
    """The size of XLA's thread pool on a CPU: ``NPROC``, or the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("NPROC") or cores or 1)


def manifest(setup: Setup, report: LoadReport, config_hash: str) -> dict[str, Any]:
    """Returns the manifest of a run.

    Args:
      setup: of the run.
      report: what became of every leaf.
      config_hash: of the resolved config.
    """
    device = jax.devices()[0]
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "versions": {"tlj": tlj.__version__, "python": platform.python_version(), **versions},
        "devices": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            # XLA splits sums by the size of its thread pool on a CPU, so the last bits of a run depend on it.
            "cpu_threads": _cpu_threads(),
        },
        "data": {
            "source": setup.source.name,
            "hash": setup.source.digest,
            "classes": list(setup.source.classes),
            "split": setup.split.manifest(setup.source.ids),
        },
        "model": describe_model(setup.spec, setup.preprocessing),
        "init": setup.init,
        "load_report": report.rows(),
        "phases": [
            {
                "start": phase.start,
                "digest": phase.digest,
                "groups": label_table(setup, phase),
                "labels": phase.label_of,
            }
            for phase in setup.phases
        ],
        "config_hash": config_hash,
    }
