"""The compiled programs of a run: its initial state, its step per phase, its evaluation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from tlj.freezing.optimizer import hyperparameters
from tlj.freezing.partition import split
from tlj.freezing.phases import Phase
from tlj.models.registry import Spec
from tlj.streams import THREEFRY, key
from tlj.training.cached.parts import above
from tlj.training.checkpoints import abstract
from tlj.training.compute_type import rounded, rounded_in_evaluation, rounded_in_phase, rounds_ahead
from tlj.training.parallel import batch_sharding, replicated, state_shardings
from tlj.training.programs import Program, Programs
from tlj.training.setup import Setup, variable_shapes
from tlj.training.state import TrainState, create_state, thaw_state
from tlj.training.step import Step, make_check_step, make_evaluate_step, make_train_step, make_update
from tlj.training.step_settings import StepSettings


def run_keys(seed: int, prng: str = THREEFRY) -> dict[str, jax.Array]:
    """Returns the keys that a step takes: those of the ``augment`` and ``dropout`` streams.

    Args:
      seed: of the run.
      prng: ``config.prng``, the generator that they are for.
    """
    return {name: key(seed, name, prng) for name in ("augment", "dropout")}


def _shape_key(setup: Setup) -> tuple[Any, ...]:
    """What every program of a run depends on."""
    mesh = setup.mesh
    how = (
        setup.dtype,
        rounds_ahead(setup),
        setup.config["remat"],
        setup.config["prng"],
        setup.kernels,
        setup.preprocessing,
    )
    return (setup.spec, *how, tuple(mesh.shape.items()), tuple(mesh.devices.flat))


def _phase_key(setup: Setup, phase: Phase) -> tuple[Any, ...]:
    return (*_shape_key(setup), phase.structure, setup.settings)


@dataclasses.dataclass(frozen=True)
class _Structure:
    """A phase that is another only where its structure is: shapes do not depend on the numbers of its groups."""

    structure: Hashable
    phase: Phase = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=32)
def _abstract_state(
    spec: Spec,
    structure: _Structure,
    settings: StepSettings,
    mesh: Mesh,
    depth: int | None,
    rounding: tuple[str, frozenset[str]],
) -> TrainState:
    phase = structure.phase
    variables, numbers = above(variable_shapes(spec, settings.adapters), spec, depth), hyperparameters(phase)
    shapes = jax.eval_shape(lambda v, n: _created(v, phase, settings, n, rounding), variables, numbers)
    return abstract(shapes, state_shardings(mesh, shapes))


def _created(
    variables: Mapping[str, Any],
    phase: Phase,
    settings: StepSettings,
    numbers: Mapping[str, Any],
    rounding: tuple[str, frozenset[str]],
) -> TrainState:
    state, (dtype, paths) = create_state(variables, phase, settings, numbers), rounding
    return state.replace(params=rounded(state.params, paths, dtype)) if paths else state


def _rounding(setup: Setup, phase: Phase) -> tuple[str, frozenset[str]]:
    return setup.dtype, rounded_in_phase(setup, phase)


def abstract_state(setup: Setup, phase: Phase, *, whole: bool = False) -> TrainState:
    """Returns the shapes and shardings of a phase's state, without what its inputs are made with; none is computed.

    Args:
      setup: of the run.
      phase: of the run.
      whole: whether all of it is in float32, as between phases and in a checkpoint; if not, it is as steps take it.
    """
    depth = setup.cached.depth if setup.cached else None
    rounding = (setup.dtype, frozenset()) if whole else _rounding(setup, phase)
    return _abstract_state(setup.spec, _Structure(phase.structure, phase), setup.settings, setup.mesh, depth, rounding)


def shape_key(batch: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns what of a batch decides which program takes it: the names, shapes and types of its arrays."""
    return tuple(sorted((name, array.shape, array.dtype) for name, array in batch.items()))


def _leaf_shardings(setup: Setup, phase: Phase) -> TrainState:
    return jax.tree.map(lambda leaf: leaf.sharding, abstract_state(setup, phase))


def initial_state(setup: Setup, phase: Phase, variables: Mapping[str, Any], programs: Programs) -> TrainState:
    """Creates the state at step 0 on its shardings, as steps take it.

    The given variables stay whole: donation takes the copy.
    """

    def make() -> jax.stages.Wrapped:
        def initialise_state(variables: Mapping[str, Any], numbers: Mapping[str, Any]) -> TrainState:
            return _created(variables, phase, setup.settings, numbers, _rounding(setup, phase))

        return jax.jit(initialise_state, out_shardings=_leaf_shardings(setup, phase))

    numbers = hyperparameters(phase)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (dict(variables), numbers))
    program, _ = programs.get(("state", *_phase_key(setup, phase)), make, *shapes)
    return program.call(dict(variables), numbers)


def thawed_state(setup: Setup, old: Phase, phase: Phase, state: TrainState, programs: Programs) -> TrainState:
    """Turns the state at the end of a phase into that at the start of the next (``thaw_state``), both in float32."""

    def make() -> jax.stages.Wrapped:
        def fresh_state(params: Mapping[str, Any], numbers: Mapping[str, Any]) -> TrainState:
            fresh = create_state({"params": params, "batch_stats": {}}, phase, setup.settings, numbers)
            # The parameters stay where they are: what is not returned is not copied.
            return fresh.replace(params={})

        return jax.jit(fresh_state, out_shardings=_leaf_shardings(setup, phase).replace(params={}, batch_stats={}))

    numbers, params = hyperparameters(phase), abstract_state(setup, old, whole=True).params
    program, _ = programs.get(("thaw", *_phase_key(setup, phase)), make, params, numbers)
    return thaw_state(state, program.call(state.params, numbers), old, phase)


def step_key(setup: Setup, phase: Phase) -> tuple[Any, ...]:
    """Returns what the body of a phase's step depends on, besides the shapes of its batch."""
    return (*_phase_key(setup, phase), setup.augmentation)


def step_body(setup: Setup, phase: Phase, make: Callable[..., Step] = make_train_step) -> Step:
    """Returns the body of a phase's step, which a wrapper compiles."""
    return make(
        setup.training_module, phase, setup.settings, setup.preprocessing, setup.augmentation, rows=setup.wrapper.rows
    )


def _wrapped_step(
    setup: Setup, phase: Phase, calls: int, make: Callable[..., Step] = make_train_step
) -> jax.stages.Wrapped:
    return setup.wrapper.wrap(step_body(setup, phase, make), _leaf_shardings(setup, phase), calls)


def _batch_shapes(setup: Setup, batch: Mapping[str, Any], calls: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch on the devices; on the host it has the rows of this process."""
    if not all(isinstance(array, jax.Array) for array in batch.values()):
        return setup.wrapper.batch_shapes(batch, calls)
    return {name: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding) for name, a in batch.items()}


def _step_arguments(setup: Setup, phase: Phase, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> tuple[Any, ...]:
    return setup.wrapper.arguments((abstract_state(setup, phase), shapes, run_keys(0, setup.config["prng"])))


def lower_step(setup: Setup, phase: Phase, batch: Mapping[str, Any] | None = None) -> jax.stages.Lowered:
    """Returns the step of a phase as it goes into the compiler of the mesh's devices, on which nothing is put.

    Args:
      setup: of the run.
      phase: of the run.
      batch: the rows of this process on the host; None stands for a usual batch of the run.
    """
    shapes = _batch_shapes(setup, setup.usual_batch if batch is None else batch, 1)
    return _wrapped_step(setup, phase, 1).lower(*_step_arguments(setup, phase, shapes))


def step_program(
    setup: Setup, phase: Phase, programs: Programs, batch: Mapping[str, Any] | None = None, calls: int = 1
) -> tuple[Program, bool]:
    """Returns the compiled step of a phase for batches like one, and whether this call compiled it.

    It does not depend on the label budget, the seed, the init, the learning rate or the number of steps.

    Args:
      setup: of the run.
      phase: of the run.
      programs: compiled programs to share.
      batch: on the devices, or the rows of this process on the host; None stands for a usual one of the run.
      calls: steps that one call takes, of batches that are stacked.

    Returns:
      The program, whose FLOPs are those of one step, and whether it was compiled now.
    """
    batch = setup.usual_batch if batch is None else batch
    mode, shapes = setup.config["parallel"]["mode"], _batch_shapes(setup, batch, calls)
    return programs.get(
        ("step", mode, calls, *step_key(setup, phase), shape_key(shapes)),
        lambda: _wrapped_step(setup, phase, calls),
        *_step_arguments(setup, phase, shapes),
        flops=lambda counted: all_parts(setup, phase, counted),
    )


def all_parts(setup: Setup, phase: Phase, counted: float) -> float:
    """Returns the FLOPs of a step on one device, of which the compiler has counted one part and the update.

    Args:
      setup: of the run.
      phase: of the run.
      counted: by the compiler.
    """
    parts = setup.settings.accumulate
    if parts == 1:
        return counted
    # Shapes alone: where the state lies changes nothing, and only a device that is here counts before it compiles.
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), abstract_state(setup, phase))
    update = jax.jit(make_update(phase, setup.settings))
    once = update.lower(state, split(state.params, phase)[0]).cost_analysis()["flops"] / setup.mesh.shape["fsdp"]
    return parts * (counted - once) + once


def check_program(setup: Setup, phase: Phase, batch: Mapping[str, jax.Array]) -> Callable[..., tuple[Any, Any]]:
    """Returns the compiled ``make_check_step`` of a phase for batches like one, which is on the devices."""
    wrapped = _wrapped_step(setup, phase, 1, make_check_step)
    return wrapped.lower(*_step_arguments(setup, phase, _batch_shapes(setup, batch, 1))).compile()


def evaluate_program(setup: Setup, programs: Programs, batch: Mapping[str, Any]) -> Program:
    """Returns the compiled evaluation of batches like one, the same for every phase and every arm without adapters.

    It takes ``evaluation_params``.

    Args:
      setup: of the run.
      programs: compiled programs to share.
      batch: on the host or the devices.
    """
    state, paths = abstract_state(setup, setup.phases[0], whole=True), rounded_in_evaluation(setup)
    if paths:
        shapes = jax.eval_shape(lambda params: rounded(params, paths, setup.dtype), state.params)
        sharded = jax.tree.map(lambda leaf: leaf.sharding, state.params)
        state = state.replace(params=abstract(shapes, sharded))

    def make() -> jax.stages.Wrapped:
        evaluate = make_evaluate_step(setup.module, setup.preprocessing, setup.settings.adapters)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, (state.params, state.batch_stats))
        return jax.jit(
            evaluate,
            in_shardings=(*shardings, batch_sharding(setup.mesh)),
            out_shardings=replicated(setup.mesh),
        )

    program_key = ("evaluate", *_shape_key(setup), setup.settings.adapters, shape_key(batch))
    sharding = batch_sharding(setup.mesh)
    shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding) for name, a in batch.items()}
    program, _ = programs.get(program_key, make, state.params, state.batch_stats, shapes)
    return program
