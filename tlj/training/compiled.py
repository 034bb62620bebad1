"""The compiled programs of a run: its initial state, its step per phase, its evaluation."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from tlj.freezing.optimizer import hyperparameters
from tlj.freezing.phases import Phase
from tlj.models.registry import Spec
from tlj.streams import key
from tlj.training.checkpoints import abstract
from tlj.training.parallel import batch_sharding, replicated, state_shardings
from tlj.training.programs import Program, Programs
from tlj.training.setup import Setup, variable_shapes
from tlj.training.state import TrainState, create_state, thaw_state
from tlj.training.step import make_evaluate_step, make_train_step
from tlj.training.step_settings import StepSettings


def run_keys(seed: int) -> dict[str, jax.Array]:
    """Returns the keys that a step takes: those of the ``augment`` and ``dropout`` streams."""
    return {name: key(seed, name) for name in ("augment", "dropout")}


def _shape_key(setup: Setup) -> tuple[Any, ...]:
    """What every program of a run depends on."""
    mesh = setup.mesh
    return (setup.spec, setup.dtype, setup.preprocessing, tuple(mesh.shape.items()), tuple(mesh.devices.flat))


def _phase_key(setup: Setup, phase: Phase) -> tuple[Any, ...]:
    return (*_shape_key(setup), phase.structure, setup.settings)


@functools.lru_cache(maxsize=32)
def _abstract_state(spec: Spec, phase: Phase, settings: StepSettings, mesh: Mesh) -> TrainState:
    variables, numbers = variable_shapes(spec, settings.adapters), hyperparameters(phase)
    shapes = jax.eval_shape(lambda v, n: create_state(v, phase, settings, n), variables, numbers)
    return abstract(shapes, state_shardings(mesh, shapes))


def abstract_state(setup: Setup, phase: Phase) -> TrainState:
    """Returns the shapes and shardings of a phase's state; nothing is computed."""
    return _abstract_state(setup.spec, phase, setup.settings, setup.mesh)


def batch_shapes(setup: Setup, batch: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shape and sharding of every array of a batch, on the host or on the devices."""
    sharding = batch_sharding(setup.mesh)
    return {name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding) for name, array in batch.items()}


def shape_key(batch: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns what of a batch decides which program takes it: the names and shapes of its arrays."""
    return tuple(sorted((name, array.shape) for name, array in batch.items()))


def _leaf_shardings(setup: Setup, phase: Phase) -> TrainState:
    return jax.tree.map(lambda leaf: leaf.sharding, abstract_state(setup, phase))


def initial_state(setup: Setup, phase: Phase, variables: Mapping[str, Any], programs: Programs) -> TrainState:
    """Creates the state at step 0 on its shardings; the given variables stay whole (donation takes the copy)."""

    def make() -> jax.stages.Wrapped:
        def initialise_state(variables: Mapping[str, Any], numbers: Mapping[str, Any]) -> TrainState:
            return create_state(variables, phase, setup.settings, numbers)

        return jax.jit(initialise_state, out_shardings=_leaf_shardings(setup, phase))

    numbers = hyperparameters(phase)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (dict(variables), numbers))
    program, _ = programs.get(("state", *_phase_key(setup, phase)), make, *shapes)
    return program.call(dict(variables), numbers)


def thawed_state(setup: Setup, old: Phase, phase: Phase, state: TrainState, programs: Programs) -> TrainState:
    """Turns the state at the end of a phase into that at the start of the next (``thaw_state``)."""

    def make() -> jax.stages.Wrapped:
        def fresh_state(params: Mapping[str, Any], numbers: Mapping[str, Any]) -> TrainState:
            fresh = create_state({"params": params, "batch_stats": {}}, phase, setup.settings, numbers)
            # The parameters stay where they are: what is not returned is not copied.
            return fresh.replace(params={})

        return jax.jit(fresh_state, out_shardings=_leaf_shardings(setup, phase).replace(params={}, batch_stats={}))

    numbers, params = hyperparameters(phase), abstract_state(setup, old).params
    program, _ = programs.get(("thaw", *_phase_key(setup, phase)), make, params, numbers)
    return thaw_state(state, program.call(state.params, numbers), old, phase)


def _jitted_step(setup: Setup, phase: Phase) -> jax.stages.Wrapped:
    step = make_train_step(setup.module, phase, setup.settings, setup.preprocessing, setup.augmentation)
    everywhere, shardings = replicated(setup.mesh), _leaf_shardings(setup, phase)
    return jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(setup.mesh), everywhere),
        out_shardings=(shardings, everywhere),
        donate_argnums=0,
    )


def _step_shapes(setup: Setup, phase: Phase, batch: Mapping[str, Any]) -> tuple[Any, ...]:
    return abstract_state(setup, phase), batch_shapes(setup, batch), run_keys(0)


def lower_step(setup: Setup, phase: Phase) -> jax.stages.Lowered:
    """Returns the step of a phase as it goes into the compiler, for a usual batch."""
    return _jitted_step(setup, phase).lower(*_step_shapes(setup, phase, setup.usual_batch))


def step_program(
    setup: Setup, phase: Phase, programs: Programs, batch: Mapping[str, Any] | None = None
) -> tuple[Program, bool]:
    """Returns the compiled step of a phase for batches like one, and whether this call compiled it.

    It does not depend on the label budget, the seed, the init, the learning rate or the number of steps.

    Args:
      setup: of the run.
      phase: of the run.
      programs: compiled programs to share.
      batch: on the host or on the devices; None stands for a usual one of the run.
    """
    batch = setup.usual_batch if batch is None else batch
    program_key = ("step", *_phase_key(setup, phase), setup.augmentation, shape_key(batch))
    return programs.get(program_key, lambda: _jitted_step(setup, phase), *_step_shapes(setup, phase, batch))


def evaluate_program(setup: Setup, programs: Programs, batch: Mapping[str, Any]) -> Program:
    """Returns the compiled evaluation of batches like one, the same for every phase and every arm without adapters."""
    state = abstract_state(setup, setup.phases[0])

    def make() -> jax.stages.Wrapped:
        evaluate = make_evaluate_step(setup.module, setup.preprocessing, setup.settings.adapters)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, (state.params, state.batch_stats))
        return jax.jit(
            evaluate,
            in_shardings=(*shardings, batch_sharding(setup.mesh)),
            out_shardings=replicated(setup.mesh),
        )

    program_key = ("evaluate", *_shape_key(setup), setup.settings.adapters, shape_key(batch))
    program, _ = programs.get(program_key, make, state.params, state.batch_stats, batch_shapes(setup, batch))
    return program
