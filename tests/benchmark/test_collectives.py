"""Reductions over devices, read from compiled programs."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tlj.benchmark.collectives import Collective, carried_bytes, collective_arrays, reduced_arrays, sent_bytes

# A data-parallel gradient over four devices, with and without a frozen kernel, and a reduce-scatter.
SCRIPT = """
import json
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))

def loss_of(trained, frozen, x, y):
    params = {**trained, **frozen}
    hidden = jnp.tanh(x @ params["in"] + params["bias"])
    return jnp.square(hidden @ params["out"] - y).mean()

def text_of(frozen):
    params = {"in": np.ones((8, 16), np.float32), "bias": np.ones(16, np.float32), "out": np.ones((16, 3), np.float32)}
    still = {name: params.pop(name) for name in frozen}
    shardings = (everywhere, everywhere, split, split)
    step = jax.jit(jax.value_and_grad(loss_of), in_shardings=shardings, out_shardings=everywhere)
    x, y = np.ones((12, 8), np.float32), np.ones((12, 3), np.float32)
    return step.lower(params, still, x, y).compile().as_text()

def scatter(x):
    return jax.lax.psum_scatter(x, "data", tiled=True)

spec = PartitionSpec()
scattered = jax.jit(jax.shard_map(scatter, mesh=mesh, in_specs=spec, out_specs=PartitionSpec("data"), check_vma=False))
scattered = scattered.lower(np.ones((16, 5), np.float32)).compile().as_text()
one_device = jax.jit(jax.grad(lambda x: x.sum())).lower(np.ones(3)).compile().as_text()
print(json.dumps({"full": text_of([]), "frozen": text_of(["in"]), "scattered": scattered, "alone": one_device}))
"""


@pytest.fixture(scope="module")
def texts():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def sorted_shapes(collectives):
    """Shapes without their order of axes, which is the compiler's."""
    return sorted(tuple(sorted(collective.shape)) for collective in collectives)


def test_a_data_parallel_gradient_carries_every_parameter_and_the_loss(texts):
    found = reduced_arrays(texts["full"])
    assert {(collective.operation, collective.dtype) for collective in found} == {("all-reduce", "f32")}
    assert sorted_shapes(found) == [(), (3, 16), (8, 16), (16,)]
    assert carried_bytes(found) == 4 * (1 + 3 * 16 + 8 * 16 + 16)


def test_what_is_frozen_is_not_carried(texts):
    found = reduced_arrays(texts["frozen"])
    assert sorted_shapes(found) == [(), (3, 16), (16,)]
    gradients = [collective for collective in found if collective.shape]
    assert carried_bytes(gradients) == 4 * (3 * 16 + 16)


def test_a_reduce_scatter_carries_what_it_reduces_and_not_the_part_that_it_returns(texts):
    assert reduced_arrays(texts["scattered"]) == (Collective("reduce-scatter", "f32", (16, 5)),)


def test_a_program_of_one_device_carries_nothing(texts):
    assert reduced_arrays(texts["alone"]) == ()
    assert carried_bytes(()) == 0


# In the compiler's notation for accelerators: tiled layouts, comments in tuples, types beside operands, asynchronous
# pairs, names that come again in another computation, and computations and texts that look like operands.
NOTATION = textwrap.dedent("""\
    %wrapped (param.0: bf16[8]) -> bf16[8] {
      %x = bf16[8]{0:T(1024)(128)(2,1)} parameter(0)
      ROOT %scatter = bf16[2]{0} reduce-scatter(bf16[8]{0:T(1024)(128)(2,1)} %x), to_apply=%add, dimensions={0}
    }

    ENTRY %main (param.1: f32[4,8]) -> f32[4,8] {
      %x = f32[4,8]{1,0:T(8,128)S(1)} parameter(0), metadata={op_name="all-reduce(%x)"}
      %y = pred[3]{0} constant({...})
      %z = s4[5]{0:E(4)} constant({...})
      %l = f8e4m3fn[<=6,2]{1,0} custom-call(%x), custom_call_target="all-reduce"
      %pair = (f32[4,8]{1,0:T(8,128)}, /*index=1*/pred[3]{0}) tuple(%x, %y)
      %start = (f32[4,8]{1,0:T(8,128)}, /*index=1*/pred[3]{0}) all-reduce-start(%x, %y), channel_id=1, to_apply=%add
      %done = (f32[4,8]{1,0:T(8,128)}, /*index=1*/pred[3]{0}) all-reduce-done(%start)
      %part = ((s4[5]{0}, f8e4m3fn[6,2]{1,0}), (s4[1]{0}, f8e4m3fn[2,2]{1,0})) reduce-scatter-start(%z, %l)
      ROOT %all-reduce.2 = f32[4,8]{1,0} get-tuple-element(%done), index=0
    }
""")  # fmt: skip


def test_the_notation_of_accelerators_is_read():
    assert reduced_arrays(NOTATION) == (
        Collective("reduce-scatter", "bf16", (8,)),
        Collective("all-reduce", "f32", (4, 8)),
        Collective("all-reduce", "pred", (3,)),
        Collective("reduce-scatter", "s4", (5,)),
        Collective("reduce-scatter", "f8e4m3fn", (6, 2)),
    )
    assert [collective.bytes for collective in reduced_arrays(NOTATION)] == [16, 128, 3, 3, 12]


# Groups of devices as three compilers write them.
GROUPS = textwrap.dedent("""\
    ENTRY %main (x: f32[16]) -> f32[16] {
      %x = f32[16]{0} parameter(0)
      %a = f32[16]{0} all-reduce(%x), channel_id=1, replica_groups={{0,1},{2,3}}, to_apply=%add
      %b = f32[16]{0} all-reduce(%x), channel_id=2, replica_groups=[2,4]<=[8], to_apply=%add
      %c = f32[16]{0} all-reduce(%x), replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_0','axis_1'}, to_apply=%add
      %d = f32[16]{0} all-reduce(%x), replica_groups=mesh['axis_0'=8,'axis_1'=2] {'axis_0':(2)4}, to_apply=%add
      %e = f32[16]{0} all-reduce(%x), replica_groups={}, to_apply=%add
      %f = f32[128]{0} all-gather(%x), replica_groups={{0,1,2,3,4,5,6,7}}, dimensions={0}
      ROOT %g = f32[16]{0} collective-permute(%a), source_target_pairs={{0,1},{1,0}}
    }
""")


def test_the_devices_that_take_part_together_are_read():
    found = collective_arrays(GROUPS)
    assert [array.devices for array in found if array.operation == "all-reduce"] == [2, 4, 8, 4, 0]
    assert [array.operation for array in found[-2:]] == ["all-gather", "collective-permute"]
    assert [array.operation for array in reduced_arrays(GROUPS)] == ["all-reduce"] * 5


def test_a_ring_sends_what_its_operation_needs():
    def sent(operation, devices=0):
        return sent_bytes([Collective(operation, "f32", (8,), devices)], 4)

    assert sent("all-reduce") == 2 * 3 / 4 * 32
    assert sent("all-reduce", devices=2) == 32
    assert sent("reduce-scatter") == sent("all-to-all") == 3 / 4 * 32
    # Each device passes on the part of every other.
    assert sent("all-gather") == 3 * 32
    assert sent("collective-permute") == 32
    assert sent_bytes([Collective("all-reduce", "f32", (8,))], 1) == 0
