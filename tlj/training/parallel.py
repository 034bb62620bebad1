"""Where arrays live: a mesh with the axes ``data`` and ``fsdp``, batches over both, parameters by one rule."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tlj.errors import InputError, unknown_name

MODES = ("jit", "pmap")
# A leaf of fewer elements is not worth a collective.
SMALLEST_SHARDED = 2**16
_AXES = ("data", "fsdp")


def make_mesh(mode: str, fsdp: int, batch_sizes: Mapping[str, int], among: Sequence[jax.Device] | None = None) -> Mesh:
    """Builds the mesh over all devices of all processes, those of a process beside each other.

    Args:
      mode: ``config.parallel.mode``.
      fsdp: devices that share one copy of the parameters.
      batch_sizes: by config key; each must divide over all devices.
      among: the devices, where they are not those of this machine but a plan's; nothing is put on them.

    Raises:
      InputError: where the devices cannot be arranged so.
    """
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES, where="config.parallel.mode")
    among = jax.devices() if among is None else among
    devices = len(among)
    of_processes = collections.Counter(device.process_index for device in among)
    if len({*of_processes.values()}) > 1:
        counts = ", ".join(f"process {process} has {count}" for process, count in sorted(of_processes.items()))
        what = f"the processes must have equally many devices, and {counts}"
        raise InputError(what, where="--processes", do="give each process as many")
    if mode == "pmap" and fsdp != 1:
        what = f"fsdp {fsdp} with pmap, which keeps all parameters on every device"
        raise InputError(what, where="config.parallel.fsdp", do="set it to 1, or config.parallel.mode to jit")
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
    mesh = jax.make_mesh((devices // fsdp, fsdp), _AXES, axis_types=(AxisType.Auto,) * 2, devices=among)
    if _is_in_stretches([device.process_index for device in mesh.devices.flat]):
        return mesh
    # The rows of a process must be one stretch of the batch, or it could not read them as one.
    ordered = sorted(among, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(ordered).reshape(devices // fsdp, fsdp), _AXES, axis_types=(AxisType.Auto,) * 2)


def _is_in_stretches(processes: list[int]) -> bool:
    changes = sum(one != other for one, other in zip(processes, processes[1:], strict=False))
    return changes == len(set(processes)) - 1


def host_of(mesh: Mesh) -> tuple[int, int]:
    """Returns the place of this process among those of a mesh, in the order of their rows, and how many there are."""
    processes = list(dict.fromkeys(device.process_index for device in mesh.devices.flat))
    return processes.index(jax.process_index()), len(processes)


def batch_sharding(mesh: Mesh, *, stacked: bool = False) -> NamedSharding:
    """Returns the sharding of a batch: its first dimension over all devices, its second where several are stacked."""
    return NamedSharding(mesh, PartitionSpec(None, _AXES) if stacked else PartitionSpec(_AXES))


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


def calls_ahead(most: int) -> int:
    """Returns how many calls the host may be ahead of the devices.

    It is none where a CPU stands for several devices, which has too few threads for programs that wait for each other:
    XLA ends a process whose collectives hang.

    Args:
      most: of devices that have threads of their own.
    """
    return 0 if jax.default_backend() == "cpu" and jax.device_count() > 1 else most


def put_batch(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Puts a global batch, which every process has whole, on the devices; each process puts its rows alone."""
    if jax.process_count() == 1:
        return jax.device_put(dict(batch), sharding)
    return {
        name: jax.make_array_from_callback(array.shape, sharding, lambda index, array=array: array[index])
        for name, array in batch.items()
    }


def fetch(tree: Any) -> Any:
    """Returns arrays on the host, whole, also those of which this process holds a part; every process must ask."""
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def whole(leaf: Any) -> np.ndarray:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return jax.device_get(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)
