"""The plan of a config on slices of TPUs: memory, time, and the price of the whole experiment."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from tlj.benchmark.plan import lowered_flops, weightless
from tlj.benchmark.topology.compiler import Compiler
from tlj.benchmark.topology.experiment import NOT_COUNTED, Share, comparison_shares, worth
from tlj.benchmark.topology.facts import Answer
from tlj.benchmark.topology.forecast import Question, forecasts, scaling
from tlj.benchmark.topology.price import hours_and_dollars
from tlj.benchmark.topology.roofline import FORMULA
from tlj.benchmark.topology.slices import Slice
from tlj.experiments.arms import Arm
from tlj.progress import say
from tlj.training.setup import Setup, set_up

ASSUMPTIONS = (
    "the published peak of bfloat16, which float32 also takes on a TPU at JAX's default precision",
    "the published bandwidths of memory and links, all three limits at work at once; in turn, where none overlaps",
    "bytes as the TPU compiler counts them, among them some that never leave the chip; collectives in rings, all links",
    "no waiting for input or the host, and limits that few programs reach: a real step is most likely slower",
)
ARM_ASSUMPTION = "a run of another arm or phase costs what its FLOPs, before compilation, are of the compiled phase's"


def plan_topologies(config: ConfigDict, setup: Setup, slices: Sequence[Slice]) -> dict[str, Any]:
    """Returns ``topologies``, and with several ``scaling``; ``formula``, ``assumptions`` and what is ``counted``.

    Args:
      config: of the experiment, resolved.
      setup: of its run on this machine.
      slices: for which its step is compiled.

    Raises:
      InputError: for what cannot be done on a slice, or an arm that makes no sense.
    """

    def config_of(slice_: Slice, batch: int | None) -> Mapping[str, Any]:
        resolved, _ = weightless(config, slice_.chips)
        return resolved if batch is None else {**resolved, "global_batch_size": batch * slice_.chips}

    with Compiler(pathlib.Path(weightless(config)[1])) as compiler:

        def ask(slice_: Slice, run: Mapping[str, Any], phase: int) -> Answer:
            each = run["global_batch_size"] // slice_.chips
            say(f"compiling phase {phase} for {slice_.name} at {each} examples per chip")
            return compiler.ask(slice_, run, phase)

        question = Question(config_of, _different(setup), ask, setup.settings.accumulate)
        rows = forecasts(question, slices)
        scaled = scaling(question, slices, rows[0]["phase"]) if len(slices) > 1 else None
    reference = rows[0]["phase"]
    counted = count(config, setup, reference)
    for row in rows:
        row.update(hours_and_dollars(config, row, counted))
    return {
        "topologies": rows,
        **({"scaling": scaled} if scaled else {}),
        "formula": FORMULA,
        "assumptions": [*ASSUMPTIONS, *([ARM_ASSUMPTION] if len(counted["comparison"]) > 1 else [])],
        "counted": counted,
        "not_counted": NOT_COUNTED,
    }


def _different(setup: Setup) -> tuple[int, ...]:
    """The first of the phases that share a program, each."""
    structures = [phase.structure for phase in setup.phases]
    return tuple(i for i, structure in enumerate(structures) if structures.index(structure) == i)


def count(config: ConfigDict, setup: Setup, reference: int) -> dict[str, Any]:
    """Counts the run and the comparison that a config describes, in steps of one phase.

    Args:
      config: of the experiment, resolved.
      setup: of its run.
      reference: number of the phase.

    Returns:
      ``run`` and ``comparison``, rows of ``what``, ``runs``, ``trials``, ``steps`` and ``reference_steps``.
    """
    # Arms share steps, and a step that is counted need not be traced again.
    known: dict[Any, float] = {}
    flops = _flops_by_structure(setup, known)
    one = flops[setup.phases[reference].structure]
    steps = setup.config["steps"]
    run = Share(config.strategy, 1, 0, steps, worth(setup.phases, steps, flops, one))

    def run_worth(own: ConfigDict, arm: Arm) -> float:
        resolved, base = weightless(own)
        values = {**resolved, "strategy": arm.strategy, "init": arm.init}
        if arm.strategy.partition("+")[0] != "rules":
            values["rules"] = []
        return _worth(_on_one(values), base, one, known)

    shares = list(comparison_shares(config, run_worth))
    if config.pretrain:
        from tlj.experiments.arm_configs import source_config

        source = source_config(config)
        base = pathlib.Path(config.workdir or ".")
        shares.insert(0, Share("pretraining", 1, 0, source["steps"], _worth(_on_one(source), base, one, known)))
    return {"run": [_row(run)], "comparison": [_row(share) for share in shares]}


def _on_one(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "parallel": {**values["parallel"], "fsdp": 1}}


def _worth(values: Mapping[str, Any], base: pathlib.Path, reference: float, known: dict[Any, float]) -> float:
    setup = set_up(values, base, needs_source=False)
    return worth(setup.phases, values["steps"], _flops_by_structure(setup, known), reference)


def _flops_by_structure(setup: Setup, known: dict[Any, float]) -> dict[Any, float]:
    found = {}
    for phase in setup.phases:
        # All that decides how much a step computes.
        what = (
            setup.spec,
            setup.config["global_batch_size"],
            setup.settings,
            setup.augmentation,
            setup.config["remat"],
        )
        key = (*what, phase.structure)
        if key not in known:
            known[key] = lowered_flops(setup, phase)
        found[phase.structure] = known[key]
    return found


def _row(share: Share) -> dict[str, Any]:
    return {
        "what": share.what,
        "runs": share.runs,
        "trials": share.trials,
        "steps": share.steps,
        "reference_steps": share.reference_steps,
    }
