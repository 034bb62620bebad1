"""The step of several runs as one program: the body of one, under ``vmap``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from tlj.training.compiled import shape_key, step_body, step_key
from tlj.training.parallel import batch_sharding, replicated
from tlj.training.programs import Program, Programs
from tlj.training.stretch import Stretch
from tlj.training.together.stack import Leaves, Stack


def batches_sharding(asked: Stretch, calls: int, shared: bool) -> NamedSharding:
    """Returns the sharding of what a call of several runs takes: its examples over all devices, steps and runs whole.

    Args:
      asked: of one of the runs.
      calls: steps of the call; of several, the batches are along a first axis.
      shared: whether all runs take the same; if not, theirs are along an axis before that of the examples.
    """
    spec = batch_sharding(asked.setup.mesh).spec
    before = (None,) * (int(calls > 1) + int(not shared))
    return NamedSharding(asked.setup.mesh, jax.sharding.PartitionSpec(*before, *spec))


def together_program(
    asked: Stretch, stack: Stack, programs: Programs, batch: Mapping[str, np.ndarray], calls: int, shared: bool
) -> tuple[Program, bool]:
    """Returns the compiled step of several runs, and whether this call compiled it.

    It takes the stack's own leaves, which are given away, its step, the batches, its common leaves and its keys, and
    returns the leaves and the step after it, and the metrics with the runs along their last axis. What follows from
    nothing that differs between runs, as a frozen backbone does on a batch they share, is computed once.

    Args:
      asked: of one of the runs.
      stack: of the runs.
      programs: compiled programs to share.
      batch: of a call, on the host.
      calls: steps of the call.
      shared: whether all runs take the same batch.
    """
    setup, mesh = asked.setup, asked.setup.mesh
    put, everywhere = batches_sharding(asked, calls, shared), replicated(mesh)
    own = [leaf.sharding for leaf in stack.own]
    common = {i: leaf.sharding for i, leaf in stack.common.items()}

    def make() -> jax.stages.Wrapped:
        return jax.jit(
            _in_turn(asked, stack, calls, shared),
            in_shardings=(own, everywhere, put, common, everywhere),
            out_shardings=(own, everywhere, everywhere),
            donate_argnums=0,
        )

    shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=put) for name, a in batch.items()}
    key = ("together", calls, shared, *step_key(setup, asked.phase), stack.key, shape_key(batch))
    return programs.get(key, make, stack.own, stack.step, shapes, stack.common, stack.rng)


def _in_turn(asked: Stretch, stack: Stack, calls: int, shared: bool) -> Any:
    """The steps of a call, one after the other, each of all runs."""
    body = step_body(asked.setup, asked.phase)

    def step_together(own: Leaves, step: Any, batch: Any, common: Any, rng: Any) -> Any:
        def of_one(own: Leaves, batch: Any, rng: Any) -> Any:
            state = stack.whole(own, common)
            # A step that is the same for all leaves what follows from it, such as augmentation, the same for all.
            after, metrics = body(state.replace(step=step), batch, rng)
            # A run that has stopped where it was not finite stays at its own step.
            after = after.replace(step=state.step + (after.step - step))
            return stack.own_of(after), metrics

        axes = (0, None if shared else 0, None if stack.one_seed else 0)
        after, metrics = jax.vmap(of_one, in_axes=axes)(own, batch, rng)
        return after, step + 1, metrics

    if calls == 1:
        return step_together

    def several(own: Leaves, step: Any, batches: Any, common: Any, rng: Any) -> Any:
        def one(carried: Any, batch: Any) -> Any:
            own, step, metrics = step_together(*carried, batch, common, rng)
            return (own, step), metrics

        (own, step), metrics = jax.lax.scan(one, (own, step), batches)
        return own, step, metrics

    return several
