"""What a config would train and what it would cost, without training or touching an accelerator."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.freezing.partition import Phase
from tlj.freezing.strategies import parse_strategy, resolve_init
from tlj.training.compiled import abstract_state, lower_step
from tlj.training.manifest import format_label_table, label_table
from tlj.training.setup import Setup, model_layout, set_up


def _flops(setup: Setup, phase: Phase) -> float:
    """FLOPs of one step, from the program as it goes into the compiler."""
    return float((lower_step(setup, phase).cost_analysis() or {}).get("flops", float("nan")))


def plan_phases(setup: Setup) -> list[dict[str, Any]]:
    """Returns the plan of each phase of a run.

    Args:
      setup: of the run.

    Returns:
      Rows with ``start``, ``relative_flops`` (of a step that trains everything), ``optimizer_bytes``, ``trained_share``
      (of the parameters) and ``groups`` (the label table).
    """
    (everything,) = parse_strategy("full").phases(model_layout(setup.spec))
    whole = _flops(setup, everything)
    rows = []
    for phase in setup.phases:
        groups = label_table(setup, phase)
        total = sum(group["parameters"] for group in groups)
        moments = abstract_state(setup, phase).opt_state
        rows.append(
            {
                "start": phase.start,
                "relative_flops": _flops(setup, phase) / whole,
                "trained_share": sum(g["parameters"] for g in groups if g["learning_rate"] is not None) / total,
                "optimizer_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(moments)),
                "groups": groups,
            }
        )
    return rows


def plan(config: ConfigDict) -> dict[str, Any]:
    """Plans the run that a config's own strategy, init, label budget and seed describe.

    Args:
      config: resolved; the model source need not be there yet where ``pretrain`` would make it.

    Returns:
      ``{"strategy": ..., "phases": [...], "topologies": []}``.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    resolved = configuration.run_config(config)
    resolve_init(parse_strategy(config.strategy), config.init)
    if config.pretrain:
        # The architecture is in the config; only its weights are not there yet.
        resolved = {**resolved, "model": {**resolved["model"], "source": ""}, "init": "scratch"}
    setup = set_up(resolved, pathlib.Path(config.workdir or os.curdir))
    return {"strategy": config.strategy, "phases": plan_phases(setup), "topologies": []}


def format_plan(planned: Mapping[str, Any]) -> str:
    """Returns a plan as text: a label table per phase and what a step of it costs."""
    parts = [f"strategy {planned['strategy']}"]
    for index, phase in enumerate(planned["phases"]):
        parts.append(
            f"phase {index}, from step {phase['start']}: trains {phase['trained_share']:.1%} of the parameters, "
            f"{phase['relative_flops']:.3f} of the FLOPs of full training, "
            f"{phase['optimizer_bytes']:,} bytes of optimizer state"
        )
        parts.append(format_label_table(phase["groups"]))
    return "\n".join(parts)
