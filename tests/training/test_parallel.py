import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from tlj.errors import InputError
from tlj.training import parallel
from tlj.training.parallel import (
    SMALLEST_SHARDED,
    calls_ahead,
    host_of,
    leaf_sharding,
    make_mesh,
    put_batch,
    replicated,
)

SCRIPT = """
import json, pathlib, sys
import jax
sys.path.insert(0, "tests")
from conftest import TINY
from tlj import config as configuration
from tlj.training.loop import Surroundings, train_run
from tlj.training.setup import set_up
from tlj.training.run_files import read_metrics
import tlj.training.parallel as parallel

parallel.SMALLEST_SHARDED = 256
config = configuration.merge(configuration.default(), TINY)
config = configuration.merge(config, {"strategy": "scratch", "label_budget": 40, "parallel": {"fsdp": int(sys.argv[2])},
                                      "steps": 20, "log": {"every": 1}, "model": {"source": ""}})
run = pathlib.Path(sys.argv[1])
train_run(set_up(configuration.run_config(config), run), run, "hash", Surroundings())
print(json.dumps({"devices": jax.device_count(),
                  "losses": [row["loss"] for row in read_metrics(run / "metrics.jsonl") if "loss" in row]}))
"""


def losses(tmp_path, devices, fsdp):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / f"{devices}-{fsdp}"), str(fsdp)]
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["devices"] == devices
    return result["losses"]


def test_one_device_four_devices_and_sharded_parameters_give_the_same_losses(tmp_path):
    alone = losses(tmp_path, 1, 1)
    assert len(alone) == 20
    np.testing.assert_allclose(losses(tmp_path, 4, 1), alone, rtol=1e-5)
    np.testing.assert_allclose(losses(tmp_path, 4, 2), alone, rtol=1e-5)


def mesh_of(fsdp):
    devices = np.array([jax.devices()[0]] * 1).reshape(1, 1)
    mesh = Mesh(devices, ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    return mesh if fsdp == 1 else AbstractMesh((1, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((512, 1024), PartitionSpec(None, "fsdp")),
        ((1024, 513), PartitionSpec("fsdp", None)),
        ((511, 513), PartitionSpec()),
        ((4, 4), PartitionSpec()),
        ((), PartitionSpec()),
    ],
)
def test_a_large_leaf_is_split_along_its_largest_divisible_dimension(shape, spec):
    assert leaf_sharding(mesh_of(4), shape).spec == spec


def test_nothing_is_split_where_fsdp_is_one():
    assert leaf_sharding(mesh_of(1), (SMALLEST_SHARDED, 2)).spec == PartitionSpec()


def test_a_batch_arrives_as_it_was():
    batch = {"image": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), "label": np.array([1, 2], np.int32)}
    arrived = put_batch(batch, replicated(mesh_of(1)))
    for name, array in batch.items():
        np.testing.assert_array_equal(arrived[name], array)
        assert arrived[name].dtype == array.dtype


@pytest.mark.parametrize(("backend", "devices", "ahead"), [("cpu", 1, 8), ("cpu", 2, 0), ("gpu", 1, 8), ("gpu", 8, 8)])
def test_a_cpu_that_stands_for_several_devices_gets_one_call_at_a_time(monkeypatch, backend, devices, ahead):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    assert calls_ahead(8) == ahead


@dataclasses.dataclass(frozen=True, order=True)
class Device:
    """A device of some process."""

    process_index: int
    id: int


@pytest.fixture
def devices_of(monkeypatch):
    """Lets JAX have devices of processes: ``devices_of(0, 0, 1, 1)`` are two of each of two."""

    def make(*processes):
        devices = [Device(process, index) for index, process in enumerate(processes)]
        monkeypatch.setattr(jax, "devices", lambda: devices)
        monkeypatch.setattr(jax, "device_count", lambda: len(devices))

        def mesh_of(shape, axes, axis_types, devices):
            return Mesh(np.array(devices).reshape(shape), axes, axis_types=axis_types)

        monkeypatch.setattr(jax, "make_mesh", mesh_of)

    return make


@pytest.mark.parametrize(
    ("processes", "mode", "fsdp", "batch", "message"),
    [
        ((0,) * 4, "pmap", 2, 16, "config.parallel.fsdp: fsdp 2 with pmap, which keeps all parameters on every device"),
        ((0,) * 4, "jit", 3, 16, "config.parallel.fsdp: fsdp 3 does not divide 4 devices"),
        ((0,) * 4, "jit", 8, 16, "config.parallel.fsdp: fsdp 8 does not divide 4 devices"),
        ((0,) * 3, "jit", 1, 16, "config.global_batch_size: a batch of 16 does not divide over 3 devices; use a multi"),
        ((0,) * 4, "jit", 2, 18, "config.global_batch_size: a batch of 18 does not divide over 4 devices; use a multi"),
        ((0, 0, 1), "jit", 1, 12, "equally many devices, and process 0 has 2, process 1 has 1; give each process as"),
    ],
)
def test_devices_that_cannot_be_arranged_so_are_refused(devices_of, processes, mode, fsdp, batch, message):
    devices_of(*processes)
    with pytest.raises(InputError, match=re.escape(message)):
        make_mesh(mode, fsdp, {"global_batch_size": batch})


def test_a_mesh_is_of_the_devices_that_are_given_whatever_this_machine_has(devices_of):
    devices_of(*(0,) * 8)
    given = jax.devices()[:4]
    devices_of(*(1,) * 2)
    mesh = make_mesh("jit", 2, {"global_batch_size": 8}, given)
    assert list(mesh.devices.flat) == given
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2}


@pytest.mark.parametrize("processes", [(0, 0, 1, 1), (0, 1, 0, 1), (1, 1, 0, 0)])
def test_the_rows_of_a_process_are_one_stretch_of_the_batch(devices_of, monkeypatch, processes):
    devices_of(*processes)
    mesh = make_mesh("jit", 2, {"global_batch_size": 8})
    found = [device.process_index for device in mesh.devices.flat]
    # As JAX has them, where that is a stretch each: it knows how they are connected.
    assert found == ([0, 0, 1, 1] if processes == (0, 1, 0, 1) else list(processes))
    for process in (0, 1):
        monkeypatch.setattr(parallel.jax, "process_index", lambda process=process: process)
        assert host_of(mesh) == (found.index(process) // 2, 2)
