"""Which parameters the programs of a run are given in its compute type, as they would round them first anyway."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from tlj.freezing.modes import behave_as
from tlj.freezing.phases import FROZEN, Phase
from tlj.models.cast_parameters import cast_parameters
from tlj.models.lora import Adapters, adapted, split_adapters
from tlj.models.registry import Spec, build
from tlj.training.programs import Programs
from tlj.training.setup import Setup, variable_shapes


@dataclasses.dataclass(frozen=True)
class _Behaviour:
    """A phase that is another only where its structure is; no phase at all is evaluation."""

    structure: Hashable
    phase: Phase | None = dataclasses.field(compare=False)


def rounds_ahead(setup: Setup) -> bool:
    """Whether programs of a run take parameters in its compute type.

    Sharded parameters and those of several processes stay as they are: no process has the originals whole.

    Args:
      setup: of the run.
    """
    config, devices = setup.config, setup.mesh.devices.flat
    on_one = len({device.process_index for device in devices}) == 1 and setup.mesh.shape["fsdp"] == 1
    asked = config["frozen_weights"] == "compute" and setup.dtype != "float32"
    return asked and on_one and config["parallel"]["mode"] == "jit"


def rounded_in_evaluation(setup: Setup) -> frozenset[str]:
    """Returns the parameters that evaluation takes in the compute type, whether they train or not."""
    if not rounds_ahead(setup):
        return frozenset()
    return _rounded(setup.spec, setup.dtype, setup.settings.adapters, _Behaviour(None, None))


def rounded_in_phase(setup: Setup, phase: Phase) -> frozenset[str]:
    """Returns the frozen parameters that the steps of a phase take in the compute type.

    Args:
      setup: of the run.
      phase: of the run.
    """
    if not rounds_ahead(setup):
        return frozenset()
    of_steps = _rounded(setup.spec, setup.dtype, setup.settings.adapters, _Behaviour(phase.structure, phase))
    both = of_steps & rounded_in_evaluation(setup)
    return frozenset(path for path in both if phase.label_of[path] == FROZEN)


@functools.lru_cache(maxsize=64)
def _rounded(spec: Spec, dtype: str, adapters: Adapters | None, behaviour: _Behaviour) -> frozenset[str]:
    # Neither how attention is computed nor what is kept for the backward pass touches a parameter.
    module, shapes = build(spec, dtype), variable_shapes(spec, adapters)

    def apply(params: Mapping[str, Any], batch_stats: Mapping[str, Any]) -> Any:
        own, low_rank = split_adapters(params)
        variables, inputs = {"params": own, "batch_stats": batch_stats}, spec.example(2)
        with adapted(low_rank, adapters):
            if behaviour.phase is None:
                return module.apply(variables, inputs, train=False)
            with behave_as(behaviour.phase):
                rngs = {"dropout": jax.random.key(0)}
                return module.apply(variables, inputs, train=True, mutable=["batch_stats"], rngs=rngs)

    return cast_parameters(apply, shapes["params"], shapes["batch_stats"], dtype=jnp.dtype(dtype))


def rounded(params: Mapping[str, Any], paths: Collection[str], dtype: str) -> dict[str, Any]:
    """Returns parameters with some of them in another type; it is traced.

    Args:
      params: nested.
      paths: of those to be rounded; they need not all be there.
      dtype: to round to.
    """
    flat = traverse_util.flatten_dict(dict(params), sep="/")
    return traverse_util.unflatten_dict(
        {path: leaf.astype(dtype) if path in paths else leaf for path, leaf in flat.items()}, sep="/"
    )


def evaluation_params(setup: Setup, params: Mapping[str, Any], programs: Programs) -> dict[str, Any]:
    """Returns parameters as the evaluation of a run takes them, whichever of them are rounded.

    So one program evaluates every phase and every arm: what it is given of trained parameters is what it would round
    them to.

    Args:
      setup: of the run.
      params: nested, on the devices.
      programs: compiled programs to share.
    """
    return rounded_arrays(params, rounded_in_evaluation(setup), setup.dtype, programs)


def rounded_arrays(params: Mapping[str, Any], paths: Collection[str], dtype: str, programs: Programs) -> dict[str, Any]:
    """Returns what ``rounded`` does, of arrays on the devices; those that are rounded already are taken as they are.

    Args: those of ``rounded``, and
      programs: compiled programs to share.
    """
    flat = traverse_util.flatten_dict(dict(params), sep="/")
    wide = {path: flat[path] for path in sorted(paths) if path in flat and flat[path].dtype != jnp.dtype(dtype)}
    if not wide:
        return dict(params)
    shardings = {path: leaf.sharding for path, leaf in wide.items()}

    def round_arrays(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {path: leaf.astype(dtype) for path, leaf in leaves.items()}

    shapes = {p: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) for p, leaf in wide.items()}
    key = ("round", dtype, tuple((path, leaf.shape, leaf.sharding) for path, leaf in wide.items()))
    program, _ = programs.get(key, lambda: jax.jit(round_arrays, out_shardings=shardings), shapes)
    return traverse_util.unflatten_dict({**flat, **program.call(wide)}, sep="/")
