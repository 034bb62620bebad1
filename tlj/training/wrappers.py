"""Two wrappers around one step body: ``jax.jit`` over a mesh, and ``jax.pmap``; and the batches that each takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tlj.rows import ALL, Rows
from tlj.training.parallel import batch_sharding, host_of, replicated

AXIS = "batch"
Batches = Mapping[str, np.ndarray]


class Wrapper(Protocol):
    """How a step body runs over devices.

    Attributes:
      mesh: over all devices.
      rows: of the global batch that the body sees.
    """

    mesh: Mesh
    rows: Rows

    def wrap(self, body: Callable[..., Any], state_shardings: Any, calls: int) -> jax.stages.Wrapped:
        """Returns the body, compiled for the devices, taking as many steps per call as there are batches stacked.

        Args:
          body: ``step(state, batch, rng) -> (state, metrics)``.
          state_shardings: of every leaf of the state.
          calls: steps per call; 1 is the body itself, which takes batches that are not stacked.
        """

    def put(self, batch: Batches, calls: int) -> dict[str, jax.Array]:
        """Puts the rows of this process on its devices: of one batch, or of several, stacked."""

    def batch_shapes(self, batch: Batches, calls: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns shape and sharding of what ``put`` makes of the rows of this process."""

    def arguments(self, shapes: Any) -> Any:
        """Returns what the wrapped body is lowered with, from the shapes and shardings of its arguments."""


def make_wrapper(mode: str, mesh: Mesh) -> Wrapper:
    """Returns the wrapper of ``config.parallel.mode``."""
    return OverMesh(mesh) if mode == "jit" else Mapped(mesh)


def _in_turn(body: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The body over batches that are stacked, one step after the other."""
    if calls == 1:
        return body

    def several(state: Any, batches: Any, rng: Any) -> Any:
        return jax.lax.scan(lambda state, batch: body(state, batch, rng), state, batches)

    return several


@dataclasses.dataclass(frozen=True)
class OverMesh:
    """``jax.jit``: the body sees the global batch, and the compiler divides the work."""

    mesh: Mesh
    rows: Rows = ALL

    def wrap(self, body: Callable[..., Any], state_shardings: Any, calls: int) -> jax.stages.Wrapped:
        """See ``Wrapper``."""
        everywhere = replicated(self.mesh)
        return jax.jit(
            _in_turn(body, calls),
            in_shardings=(state_shardings, self._sharding(calls), everywhere),
            out_shardings=(state_shardings, everywhere),
            donate_argnums=0,
        )

    def _sharding(self, calls: int) -> NamedSharding:
        return batch_sharding(self.mesh, stacked=calls > 1)

    def _shape(self, array: np.ndarray, calls: int) -> tuple[int, ...]:
        """Of all processes together."""
        _, hosts = host_of(self.mesh)
        axis = int(calls > 1)
        return (*array.shape[:axis], array.shape[axis] * hosts, *array.shape[axis + 1 :])

    def put(self, batch: Batches, calls: int) -> dict[str, jax.Array]:
        """See ``Wrapper``."""
        sharding = self._sharding(calls)
        if jax.process_count() == 1:
            return jax.device_put(dict(batch), sharding)
        return {
            name: jax.make_array_from_process_local_data(sharding, array, self._shape(array, calls))
            for name, array in batch.items()
        }

    def batch_shapes(self, batch: Batches, calls: int) -> dict[str, jax.ShapeDtypeStruct]:
        """See ``Wrapper``."""
        sharding = self._sharding(calls)
        return {
            name: jax.ShapeDtypeStruct(self._shape(array, calls), array.dtype, sharding=sharding)
            for name, array in batch.items()
        }

    def arguments(self, shapes: Any) -> Any:
        """See ``Wrapper``."""
        return shapes


@dataclasses.dataclass(frozen=True)
class Mapped:
    """``jax.pmap``: the body sees the rows of one device, and averages over the axis what the devices must agree on."""

    mesh: Mesh

    @property
    def rows(self) -> Rows:
        """The rows of one device among those of all."""
        return Rows(AXIS, self.mesh.size)

    @property
    def _sharding(self) -> NamedSharding:
        """Of a batch: a stretch of rows on every device, in their order."""
        return NamedSharding(Mesh(self.mesh.devices.reshape(-1), (AXIS,)), PartitionSpec(AXIS))

    def wrap(self, body: Callable[..., Any], state_shardings: Any, calls: int) -> jax.stages.Wrapped:
        """See ``Wrapper``; the state is whole on every device."""
        return jax.pmap(
            _in_turn(body, calls),
            axis_name=AXIS,
            in_axes=(None, 0, None),
            out_axes=None,
            devices=list(self.mesh.devices.flat),
            donate_argnums=0,
        )

    def _divided(self, array: np.ndarray, calls: int) -> np.ndarray:
        """Rows of this process by device, and by step where several are stacked."""
        devices = self.mesh.size // host_of(self.mesh)[1]
        if calls == 1:
            return array.reshape(devices, -1, *array.shape[1:])
        return np.moveaxis(array.reshape(calls, devices, -1, *array.shape[2:]), 1, 0)

    def put(self, batch: Batches, calls: int) -> dict[str, jax.Array]:
        """See ``Wrapper``."""
        sharding = self._sharding
        divided = {name: self._divided(array, calls) for name, array in batch.items()}
        if jax.process_count() == 1:
            return jax.device_put(divided, sharding)
        return {
            name: jax.make_array_from_process_local_data(sharding, array, (self.mesh.size, *array.shape[1:]))
            for name, array in divided.items()
        }

    def batch_shapes(self, batch: Batches, calls: int) -> dict[str, jax.ShapeDtypeStruct]:
        """See ``Wrapper``."""
        divided = {name: self._divided(array, calls) for name, array in batch.items()}
        return {
            name: jax.ShapeDtypeStruct((self.mesh.size, *array.shape[1:]), array.dtype, sharding=self._sharding)
            for name, array in divided.items()
        }

    def arguments(self, shapes: Any) -> Any:
        """See ``Wrapper``. Of several processes, ``pmap`` looks at the arrays themselves, and takes those of all."""
        if jax.process_count() == 1:
            return shapes

        def zeros(leaf: Any) -> Any:
            if not isinstance(leaf, jax.ShapeDtypeStruct):
                return leaf
            whole = np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)
            return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: whole[index])

        return jax.tree.map(zeros, shapes)
