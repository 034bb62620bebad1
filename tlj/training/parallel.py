"""Where arrays live: a mesh with the axes ``data`` and ``fsdp``, batches over both, parameters by one rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tlj.errors import InputError, unknown_name

MODES = ("jit",)
# A leaf of fewer elements is not worth a collective.
SMALLEST_SHARDED = 2**16


def make_mesh(mode: str, fsdp: int, batch_sizes: Mapping[str, int]) -> Mesh:
    """Builds the mesh over all devices.

    Args:
      mode: ``config.parallel.mode``.
      fsdp: devices that share one copy of the parameters.
      batch_sizes: by config key; each must divide over all devices.

    Raises:
      InputError: where the devices cannot be arranged so.
    """
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES, where="config.parallel.mode")
    devices = jax.device_count()
    if devices % fsdp:
        raise InputError(f"fsdp {fsdp} does not divide {devices} devices", where="config.parallel.fsdp", do="change it")
    for name, size in batch_sizes.items():
        if size % devices:
            raise InputError(
                f"a batch of {size} does not divide over {devices} devices",
                where=f"config.{name}",
                do=f"use a multiple of {devices}",
            )
    # Linen modules name no axes: the default, explicit axes, would reject them.
    return jax.make_mesh((devices // fsdp, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its first dimension over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def leaf_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Returns the sharding of one leaf of the state.

    A large leaf is split over ``fsdp`` along its largest divisible dimension; a small one is replicated.
    """
    ways = mesh.shape["fsdp"]
    divisible = [axis for axis, size in enumerate(shape) if size % ways == 0]
    if ways == 1 or not divisible or int(np.prod(shape)) < SMALLEST_SHARDED:
        return replicated(mesh)
    axis = max(divisible, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*("fsdp" if i == axis else None for i in range(len(shape)))))


def state_shardings(mesh: Mesh, abstract_state: Any) -> Any:
    """Returns the sharding of every leaf of a state, from its shapes."""
    return jax.tree.map(lambda leaf: leaf_sharding(mesh, leaf.shape), abstract_state)


def put_batch(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Puts a global batch on the devices of this process."""
    return jax.device_put(dict(batch), sharding)
