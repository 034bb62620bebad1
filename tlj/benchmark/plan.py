"""What a config would train and what it would cost, here or on TPUs, without training or touching an accelerator."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.benchmark.topology.slices import Slice
from tlj.benchmark.topology.text import format_topologies
from tlj.benchmark.usual_rows import usual_rows
from tlj.freezing.phases import Phase
from tlj.freezing.strategies import control_name, parse_strategy, resolve_init
from tlj.training.compiled import abstract_state, lower_step
from tlj.training.identity import for_devices
from tlj.training.manifest import format_label_table, label_table, start_of
from tlj.training.setup import Setup, set_up


def lowered_flops(setup: Setup, phase: Phase) -> float:
    """Returns the FLOPs of one step of a phase, from the program as it goes into the compiler."""
    return float((lower_step(setup, phase, usual_rows(setup)).cost_analysis() or {}).get("flops", float("nan")))


def plan_phases(setup: Setup, full: Setup) -> list[dict[str, Any]]:
    """Returns the plan of each phase of a run.

    Args:
      setup: of the run.
      full: of the run that trains everything.

    Returns:
      Rows with ``start``, ``start_rule``, ``relative_flops`` (of a step that trains everything), ``optimizer_bytes``,
      ``trained_share`` (of the parameters) and ``groups`` (the label table).
    """
    known = {full.phases[0].structure: lowered_flops(full, full.phases[0])}
    whole, rows = known[full.phases[0].structure], []
    for phase in setup.phases:
        groups = label_table(setup, phase)
        moments = abstract_state(setup, phase).opt_state
        if phase.structure not in known:
            known[phase.structure] = lowered_flops(setup, phase)
        rows.append(
            {
                **start_of(phase),
                "relative_flops": known[phase.structure] / whole,
                "trained_share": sum(group["share"] for group in groups if group["learning_rate"] is not None),
                "optimizer_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(moments)),
                "groups": groups,
            }
        )
    return rows


def weightless(config: ConfigDict, devices: int | None = None) -> tuple[dict[str, Any], pathlib.Path]:
    """Returns the resolved config of the one run that a config describes, and what its source is relative to.

    Where ``pretrain`` would make the model source, none is named: the architecture is in the config, and only the
    weights are not there yet.

    Args:
      config: resolved.
      devices: how many there are to plan for; None is those of this machine.
    """
    resolved = for_devices(configuration.run_config(config), devices)
    if config.pretrain:
        resolved = {**resolved, "model": {**resolved["model"], "source": ""}}
    return resolved, pathlib.Path(config.workdir or os.curdir)


def plan(config: ConfigDict, slices: Sequence[Slice] = ()) -> dict[str, Any]:
    """Plans the run that a config's own strategy, init, label budget and seed describe.

    Args:
      config: resolved; the model source need not be there yet where ``pretrain`` would make it.
      slices: of TPUs that need not be there, to compile the step for; the TPU compiler must be installed.

    Returns:
      ``{"strategy": ..., "init": ..., "control": ..., "phases": [...], "topologies": [...]}``; with several slices also
      ``scaling``, and with any ``formula``, ``assumptions`` and ``counted``.

    Raises:
      InputError: for anything in the config that cannot be done.
    """
    resolved, base = weightless(config)
    if slices:
        # A phase costs what it costs however it is divided, and the slice that divides it so is not this machine.
        resolved = {**resolved, "parallel": {**resolved["parallel"], "fsdp": 1}}
    init = resolve_init(parse_strategy(config.strategy), config.init)
    setup = set_up(resolved, base, needs_source=False)
    everything = {**resolved, "strategy": "scratch", "init": "scratch", "rules": [], "groups": {}}
    planned = {
        "strategy": config.strategy,
        "init": init,
        "control": control_name(setup.phases, init),
        "phases": plan_phases(setup, set_up(everything, base, needs_source=False)),
        "topologies": [],
    }
    if not slices:
        return planned
    # Not at the top: what experiments consist of is more to import than most plans need.
    from tlj.benchmark.topology.topologies import plan_topologies

    return planned | plan_topologies(config, setup, slices)


def format_plan(planned: Mapping[str, Any]) -> str:
    """Returns a plan as text: a label table per phase and what a step of it costs."""
    control = f", a control: {planned['control']}" if planned["control"] else ""
    parts = [f"strategy {planned['strategy']} from init {planned['init']}{control}"]
    for index, phase in enumerate(planned["phases"]):
        parts.append(
            f"\nphase {index}, from {phase['start_rule']}: trains {phase['trained_share']:.2%} of the parameters, "
            f"{phase['relative_flops']:.3f} of the FLOPs of full training, "
            f"{phase['optimizer_bytes']:,} bytes of optimizer state"
        )
        parts.append(format_label_table(phase["groups"]))
    if planned["topologies"]:
        parts.append(format_topologies(planned))
    return "\n".join(parts)
