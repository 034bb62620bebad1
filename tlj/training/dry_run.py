"""The dry run: everything that a run needs is compiled, two steps and a validation are done, and nothing is written."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from tlj.freezing.phases import Phase
from tlj.training.averages import averaged
from tlj.training.clock import Clock
from tlj.training.compiled import abstract_state, initial_state, run_keys, step_program
from tlj.training.dues import Dues
from tlj.training.held_out import validate
from tlj.training.initial import run_variables, start_variables
from tlj.training.manifest import label_table, start_of
from tlj.training.programs import Program, Programs
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.stepping import StepPrograms, Window, calls_from, take_call

STEPS, BIGGEST = 2, 5


def dry_run(setup: Setup, programs: Programs) -> dict[str, Any]:
    """Compiles the step of every phase, takes two steps of the first, and validates.

    Where ``steps_per_call`` is more, it is the steps of one call. A pretrained source that is not there yet is
    stood in for by scratch, which costs the same.

    Args:
      setup: of the run.
      programs: compiled programs to share.

    Returns:
      ``load`` (what becomes of the source), ``devices``, ``mesh`` and ``mode``; ``batch`` (shape and type of each
      array of one step); ``phases``, each with ``start_rule``, ``groups`` (the label table), ``flops`` (of one step, on
      all devices), ``compile_s``, ``peak_bytes`` (of one call) and ``state_bytes``, all bytes being those of one
      device; ``leaves``, the biggest of the state; ``steps``, ``training`` and ``validation``, what came out.
    """
    batch = setup.wrapper.put(setup.usual_batch, 1)
    phases = [_phase_facts(setup, phase, programs) for phase in setup.phases]
    state, metrics, steps = _two_steps(setup, _first_state(setup, programs), programs)
    device = jax.devices()[0]
    return {
        "load": _load(setup),
        "devices": {"kind": device.device_kind, "count": jax.device_count(), "processes": jax.process_count()},
        "mesh": dict(setup.mesh.shape),
        "mode": setup.config["parallel"]["mode"],
        "batch": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in batch.items()},
        "phases": phases,
        "leaves": _biggest(abstract_state(setup, setup.phases[0])),
        "steps": steps,
        "training": metrics,
        "validation": validate(setup, programs, averaged(state, setup.config)),
    }


def _load(setup: Setup) -> str:
    if setup.pretrained is not None:
        return f"{setup.init} from {setup.config['model']['source']}: {setup.load_plan}"
    return setup.init if setup.init == "scratch" else f"{setup.init}, but its source is not there yet: scratch here"


def _first_state(setup: Setup, programs: Programs) -> TrainState:
    if setup.pretrained is not None or setup.init == "scratch":
        variables, _ = start_variables(setup)
    else:
        seed, adapters = setup.config["seed"], setup.settings.adapters
        variables, _ = run_variables("scratch", setup.spec, None, seed, adapters=adapters)
    return initial_state(setup, setup.phases[0], variables, programs)


def _two_steps(setup: Setup, state: TrainState, programs: Programs) -> tuple[TrainState, dict[str, Any], int]:
    """The state after the first calls of the run, the metrics over them, and how many steps they were."""
    clock, step = Clock(), 0
    window, compiled = Window(clock, 0), StepPrograms(setup, setup.phases[0], 0, programs, clock)
    rng = run_keys(setup.config["seed"], setup.config["prng"])
    with calls_from(setup, 0, Dues.of(setup.config, setup.phases)) as calls:
        while step < min(STEPS, setup.config["steps"]):
            call = next(calls)
            state = take_call(call, state, rng, compiled, window, lambda count, flops: None)
            step += sum(count for count, _ in call)
    row, rejected = window.end(step, state)
    metrics = {name: value for name, value in row.items() if name not in ("step", "phase", "timing")}
    return state, {**metrics, "rejected": rejected}, step


def _phase_facts(setup: Setup, phase: Phase, programs: Programs) -> dict[str, Any]:
    program = _call_program(setup, phase, programs)
    state = abstract_state(setup, phase)
    parts = {"parameters": state.params, "optimizer": state.opt_state}
    rest = (state.batch_stats, state.origin, state.ema)
    return {
        **start_of(phase),
        "groups": label_table(setup, phase),
        "flops": program.flops,
        "compile_s": program.compile_s,
        "peak_bytes": program.peak_bytes,
        "state_bytes": {name: _bytes(tree) for name, tree in {**parts, "other": rest}.items()},
    }


def _call_program(setup: Setup, phase: Phase, programs: Programs) -> Program:
    """The program of as many steps as a call takes, which needs more memory than that of one."""
    count, batch = setup.config["steps_per_call"], setup.usual_batch
    if count > 1:
        batch = {name: np.stack([array] * count) for name, array in batch.items()}
    # On the devices, as the loop has it: the program is found again by the shapes there.
    program, _ = step_program(setup, phase, programs, setup.wrapper.put(batch, count), count)
    return program


def _on_one_device(leaf: Any) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _bytes(tree: Any) -> int:
    return sum(_on_one_device(leaf) for leaf in jax.tree.leaves(tree))


def _biggest(state: TrainState) -> list[dict[str, Any]]:
    leaves = [
        {
            "path": jax.tree_util.keystr(path, simple=True, separator="/"),
            "shape": list(leaf.shape),
            "dtype": str(leaf.dtype),
            "bytes": _on_one_device(leaf),
            "sharding": [axis for axis in leaf.sharding.spec if axis],
        }
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    ]
    # Moments are as large as what they are of: where sizes are the same, parameters come first.
    return sorted(leaves, key=lambda row: (-row["bytes"], not row["path"].startswith("params"), row["path"]))[:BIGGEST]
