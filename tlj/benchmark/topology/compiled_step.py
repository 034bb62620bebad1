"""The real training step of a run, compiled for a slice that is not there: shapes in, the compiler's account out."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental import topologies

from tlj.benchmark.collectives import carried_bytes, collective_arrays, sent_bytes
from tlj.benchmark.topology.facts import Answer, Facts, TooLarge
from tlj.benchmark.usual_rows import usual_rows
from tlj.data.cache import cache_folder, keep
from tlj.freezing.partition import split
from tlj.freezing.phases import Phase
from tlj.training.compiled import abstract_state, all_parts, lower_step
from tlj.training.setup import Setup, set_up

PACKAGES = ("jax", "jaxlib", "libtpu")
# What else a compiler is told.
_VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "JAX_DISABLE_MOST_OPTIMIZATIONS", "JAX_OPTIMIZATION_LEVEL")
_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([BKMGT]?)"
# What the compiler says when memory is not enough: of all of it, or of temporaries alone.
_TOO_LARGE = (
    re.compile(rf"Used {_SIZE} of {_SIZE} hbm", re.IGNORECASE),
    re.compile(rf"\({_SIZE}\) exceeds available HBM \({_SIZE}\)"),
)


def set_up_for(slice_: Mapping[str, Any], config: Mapping[str, Any], base: pathlib.Path) -> Setup:
    """Returns the setup of a run on a slice; nothing is put on its devices.

    Args:
      slice_: ``name`` and ``options`` of the topology, as the TPU compiler has them.
      config: of the run, nested, with its batch on this slice.
      base: what a relative ``model.source`` is relative to.

    Raises:
      InputError: for what cannot be done on so many devices.
    """
    described = topologies.get_topology_desc(platform="tpu", topology_name=slice_["name"], **slice_["options"])
    return set_up(config, base, needs_source=False, devices=described.devices)


def compile_step(setup: Setup, phase: Phase) -> Answer:
    """Compiles the step of a phase for the devices of its mesh, or remembers what the compiler said of that program.

    What is remembered lies in the cache by a hash of the program as it goes into the compiler and of the compiler.
    """
    lowered = lower_step(setup, phase, usual_rows(setup))
    file = cache_folder("plans") / f"{_program_hash(setup, lowered)}.json"
    if (known := _remembered(file)) is not None:
        return known
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if (answer := too_large(str(error))) is None:
            raise
    else:
        answer = _facts(setup, phase, compiled)
    keep(file, lambda path: path.write_text(json.dumps(dataclasses.asdict(answer)), encoding="utf-8"))
    return answer


def _facts(setup: Setup, phase: Phase, compiled: jax.stages.Compiled) -> Facts:
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    collectives = collective_arrays(compiled.as_text())
    reductions = [array for array in collectives if array.operation in ("all-reduce", "reduce-scatter")]
    return Facts(
        flops=all_parts(setup, phase, cost.get("flops", math.nan)),
        bytes=_all_bytes(setup, phase, cost.get("bytes accessed", math.nan)),
        all_reduce_bytes=carried_bytes(reductions),
        sent_bytes=sent_bytes(collectives, setup.mesh.size),
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=max(memory.output_size_in_bytes - memory.alias_size_in_bytes, 0),
        temporary_bytes=memory.temp_size_in_bytes,
        code_bytes=memory.generated_code_size_in_bytes,
    )


def _all_bytes(setup: Setup, phase: Phase, counted: float) -> float:
    """The bytes of a step, of which the compiler has counted one part and the update."""
    state, parts = abstract_state(setup, phase), setup.settings.accumulate
    # The least that an update moves: it reads the gradients, and reads and writes what it updates.
    trained = _size(split(state.params, phase)[0])
    update = (3 * trained + 2 * _size(state.opt_state)) / setup.mesh.shape["fsdp"]
    return parts * (counted - update) + update if parts > 1 else counted


def _size(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def too_large(message: str) -> TooLarge | None:
    """Returns how much memory a program needs that the compiler refused for it, or None where that is not why."""
    for pattern in _TOO_LARGE:
        if found := pattern.search(message):
            needed, unit, usable, of_unit = found.groups()
            return TooLarge(float(needed) * _UNITS[unit.upper()], float(usable) * _UNITS[of_unit.upper()])
    return None


def _program_hash(setup: Setup, lowered: jax.stages.Lowered) -> str:
    """Of the program, of the devices that it is divided over, which its text does not name, and of the compiler."""
    devices = [(device.device_kind, getattr(device, "coords", device.id)) for device in setup.mesh.devices.flat]
    compiler = [importlib.metadata.version(name) for name in PACKAGES] + [os.environ.get(name) for name in _VARIABLES]
    parts = (compiler, devices, dict(setup.mesh.shape), setup.settings.accumulate, lowered.as_text())
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _remembered(file: pathlib.Path) -> Answer | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return TooLarge(**content) if "needed_bytes" in content else Facts(**content)
    except (OSError, ValueError, TypeError):
        return None
