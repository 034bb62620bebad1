"""``manifest.json``: what a run was made of and made with."""

from __future__ import annotations

import collections
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import jax
import numpy as np
from flax import traverse_util

import tlj
from tlj.data.label_scale import label_scale
from tlj.errors import InputError
from tlj.freezing.modes import norm_mode
from tlj.freezing.optimizer import decays, hyperparameters, learning_rates
from tlj.freezing.phases import FROZEN, Phase
from tlj.pretrained.load_report import LoadReport
from tlj.pretrained.runs import describe_model
from tlj.training.setup import Setup, variable_shapes
from tlj.training.summary import parameter_sizes

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def label_table(setup: Setup, phase: Phase) -> list[dict[str, Any]]:
    """Returns the label table of a phase: one row per group, then one for what is frozen.

    Columns: name, leaves, parameters, share (of all parameters), learning_rate (peak), learning_rate_range (lowest and
    highest over the steps of the phase, as far as they are known beforehand), weight_decay, decayed (leaves it applies
    to), optimizer, schedule, norm_mode, dropout. What is frozen has None where a number makes no sense.
    """
    sizes = parameter_sizes(setup)
    total, ranges = sum(sizes.values()), _learning_rate_ranges(setup, phase)
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
                "share": sum(sizes[path] for path in paths) / total,
                "learning_rate": group.learning_rate if group else None,
                "learning_rate_range": ranges.get(name),
                "weight_decay": group.weight_decay if group else None,
                "decayed": sum(decays(path, group) for path in paths) if group and group.weight_decay else 0,
                "optimizer": group.optimizer if group else None,
                "schedule": group.schedule if group else None,
                "norm_mode": group.norm_mode if group else _frozen_norm_mode(setup, phase),
                "dropout": group.dropout if group else False,
            }
        )
    return [row for row in rows if row["leaves"]]


def _frozen_norm_mode(setup: Setup, phase: Phase) -> str:
    """What the norms without a trained parameter do; some may adapt while the others are frozen."""
    shapes = variable_shapes(setup.spec)["batch_stats"]
    modules = {path.rpartition("/")[0] for path in traverse_util.flatten_dict(shapes, sep="/")}
    modes = collections.Counter(norm_mode(phase, module) for module in modules)
    if not modes["adapt"]:
        return FROZEN
    return "adapt" if not modes[FROZEN] else f"{FROZEN}, {modes['adapt']} adapt"


def start_of(phase: Phase) -> dict[str, Any]:
    """Returns the step at which a phase starts, None where it waits for a plateau, and the rule in words."""
    known = isinstance(phase.start, int)
    return {"start": phase.start if known else None, "start_rule": f"step {phase.start}" if known else str(phase.start)}


def _learning_rate_ranges(setup: Setup, phase: Phase) -> dict[str, list[float]]:
    """The lowest and highest rate of each group from the start of the phase to the start of the next one."""
    phases, steps = setup.phases, setup.config["steps"]
    index = phases.index(phase)
    begin = phase.start if isinstance(phase.start, int) else 0
    ends = [later.start for later in phases[index + 1 :] if isinstance(later.start, int)]
    rates = learning_rates(phase, hyperparameters(phase), np.arange(begin, min([steps, *ends])))
    return {name: [float(np.min(rate)), float(np.max(rate))] for name, rate in rates.items()}


COLUMNS = {
    "group": "name",
    "leaves": "leaves",
    "parameters": "parameters",
    "share": "share",
    "learning rate": "learning_rate_range",
    "decay": "weight_decay",
    "decayed": "decayed",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "norms": "norm_mode",
    "dropout": "dropout",
}


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if column == "share":
        return f"{value:.2%}"
    if column == "parameters":
        return f"{value:,}"
    if column == "learning_rate_range":
        return " to ".join(f"{rate:.3g}" for rate in value)
    return ("off", "on")[value] if isinstance(value, bool) else f"{value}"


def format_label_table(groups: Sequence[Mapping[str, Any]]) -> str:
    """Returns a label table as aligned text."""
    rows = [tuple(COLUMNS), *(tuple(_cell(name, group[name]) for name in COLUMNS.values()) for group in groups)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


@functools.cache
def _version_of(package: str) -> str:
    return importlib.metadata.version(package)


def _cpu_threads() -> int:
    """The size of XLA's thread pool on a CPU: ``NPROC``, or the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("NPROC") or cores or 1)


def check_same_split(setup: Setup, path: pathlib.Path) -> None:
    """Checks that a run that goes on has the examples that it began with.

    Args:
      setup: of the run.
      path: of its manifest; where there is none, the run has not begun.

    Raises:
      InputError: where what the config names, data or a split that is used again, has changed since.
    """
    if not path.exists():
        return
    begun = json.loads(path.read_text())["data"]["split"]["hash"]
    if begun != setup.split.manifest(setup.source.ids)["hash"]:
        raise InputError(
            "this run began with other examples than the config names now",
            where=str(path.parent),
            do="put the data or the split back, or use another --workdir",
        )


def data_facts(setup: Setup) -> dict[str, Any]:
    """Returns what a manifest says of the data: what it is, what was left out of it, how it is read, and the split."""
    source, scale = setup.source, label_scale(setup.source.labels, setup.split.train)
    return {
        "source": source.name,
        "hash": source.digest,
        "kind": source.kind,
        "task": setup.config["task"],
        "classes": list(source.classes),
        # What turns the outputs of a head that says numbers into the unit of the labels.
        "label_scale": scale and asdict(scale),
        "parts": {name: len(indices) for name, indices in source.parts.items()},
        "facts": dict(getattr(source, "facts", {})),
        "skipped": [asdict(skipped) for skipped in source.skipped],
        "sequence_lengths": [int(length) for length in getattr(setup.training_reader, "fixed", ())],
        "split": setup.split.manifest(source.ids),
    }


def manifest(setup: Setup, report: LoadReport, config_hash: str) -> dict[str, Any]:
    """Returns the manifest of a run.

    Args:
      setup: of the run.
      report: what became of every leaf.
      config_hash: of the resolved config.
    """
    device, adapters = jax.devices()[0], setup.settings.adapters
    versions = {package: _version_of(package) for package in PACKAGES}
    return {
        "versions": {"tlj": tlj.__version__, "python": platform.python_version(), **versions},
        "devices": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            # XLA splits sums by the size of its thread pool on a CPU, so the last bits of a run depend on it.
            "cpu_threads": _cpu_threads(),
        },
        "data": data_facts(setup),
        "model": {
            **describe_model(setup.spec, setup.preprocessing),
            "adapters": adapters and asdict(adapters),
            # The path of the source is in the config; the hash tells what lay there.
            "source_identity": setup.pretrained.identity if setup.pretrained else "",
        },
        "init": setup.init,
        "control": setup.control,
        "load_report": report.rows(),
        "phases": [
            {
                **start_of(phase),
                "digest": phase.digest,
                "groups": label_table(setup, phase),
                "labels": phase.label_of,
                "adapting": list(phase.adapting),
            }
            for phase in setup.phases
        ],
        "config_hash": config_hash,
    }
