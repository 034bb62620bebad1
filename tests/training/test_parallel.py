import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from tlj.training.parallel import SMALLEST_SHARDED, calls_ahead, leaf_sharding, put_batch, replicated

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
