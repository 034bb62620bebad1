"""What a load costs, each in a process of its own: its peak memory, its time, and the libraries that it imports."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from flax import serialization, traverse_util
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "checkpoints"

# The peak is that of the load alone: imports are done, JAX has run once, and the kernel's high-water mark is reset.
MEASURE = """
import json, re, sys, time
import jax, tlj

def resident(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

tlj.load(sys.argv[1])
before = resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
start = time.perf_counter()
model = tlj.load(sys.argv[2])
jax.block_until_ready(model.variables)
seconds = time.perf_counter() - start
size = sum(leaf.nbytes for leaf in jax.tree.leaves(model.variables))
print(json.dumps({"seconds": seconds, "bytes": size, "peak": (resident("VmHWM") - before) / size}))
"""
IMPORTED = """
import sys, tlj
for source in sys.argv[2:]:
    tlj.load(source)
if sys.argv[1]:
    __import__(sys.argv[1])
"""
# Stands where torch or tensorflow would, and leaves a note when it is imported.
FAKE = "import os, pathlib\npathlib.Path(os.environ['IMPORTED'], __name__).touch()\n"

pytestmark = pytest.mark.skipif(not pathlib.Path("/proc/self/clear_refs").exists(), reason="no /proc of Linux here")


def run(program, *arguments, **environment):
    """Runs a program in a fresh process and returns what it prints."""
    process = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def measure(warm_up, source):
    """What the load of a source takes after that of another of its family."""
    cost = json.loads(run(MEASURE, GOLDEN / warm_up, source).splitlines()[-1])
    print(f"figure: {cost['bytes'] / 1e6:.0f} MB, peak {cost['peak']:.2f} times, {cost['seconds']:.1f} s")
    return cost


@pytest.fixture(scope="module")
def large_vit(tmp_path_factory):
    """The arrays of a ViT of 200 MB under the names of transformers, and its config."""
    width, depth = 768, 7
    rng = np.random.default_rng(0)

    def dense(name, inputs, outputs):
        kernel = rng.standard_normal((outputs, inputs), np.float32)
        return {f"{name}.weight": kernel, f"{name}.bias": np.zeros(outputs, np.float32)}

    def norm(name):
        return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}

    block = {}
    for part in ("attention.attention.query", "attention.attention.key", "attention.attention.value"):
        block |= dense(part, width, width)
    block |= dense("attention.output.dense", width, width) | norm("layernorm_before") | norm("layernorm_after")
    block |= dense("intermediate.dense", width, 4 * width) | dense("output.dense", 4 * width, width)
    patch = rng.standard_normal((width, 3, 16, 16), np.float32)
    arrays = {
        "embeddings.cls_token": np.zeros((1, 1, width), np.float32),
        "embeddings.position_embeddings": rng.standard_normal((1, 197, width), np.float32),
        "embeddings.patch_embeddings.projection.weight": patch,
        "embeddings.patch_embeddings.projection.bias": np.zeros(width, np.float32),
        **{f"encoder.layer.{i}.{name}": value for i in range(depth) for name, value in block.items()},
        **norm("layernorm"),
    }
    config = json.loads((GOLDEN / "vit_headless" / "config.json").read_text())
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": 12, "image_size": 224}
    config |= sizes | {"patch_size": 16, "intermediate_size": 4 * width, "pooler_output_size": width}
    return config, arrays


def as_safetensors(folder, arrays):
    save_file(arrays, folder / "model.safetensors")


def as_msgpack(folder, arrays):
    flat = {}
    for name, value in arrays.items():
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif value.ndim == 2:
            value = value.T
        *path, last = name.split(".")
        is_norm = "layernorm" in path[-1]
        last = {"weight": "scale" if is_norm else "kernel"}.get(last, last)
        flat["/".join([*path, last])] = np.ascontiguousarray(value)
    tree = traverse_util.unflatten_dict(flat, sep="/")
    (folder / "flax_model.msgpack").write_bytes(serialization.msgpack_serialize(tree))


@pytest.mark.parametrize(("write", "warm_up"), [(as_safetensors, "vit_headless"), (as_msgpack, "vit_flax_headless")])
def test_the_peak_of_a_load_stays_under_a_third_above_the_parameters(write, warm_up, large_vit, tmp_path):
    config, arrays = large_vit
    (tmp_path / "config.json").write_text(json.dumps(config))
    write(tmp_path, arrays)
    cost = measure(warm_up, tmp_path)
    assert cost["bytes"] == sum(array.nbytes for array in arrays.values()) > 200e6
    # Under 1 would mean that the measurement missed the load.
    assert 0.9 < cost["peak"] < 1.3


def test_minilm_loads_in_three_seconds_and_under_a_third_above_its_parameters(shared_data):
    source = shared_data("pretrained/all-MiniLM-L6-v2")
    costs = []
    # Best of three: other processes share the two cores.
    while len(costs) < 3 and (not costs or min(cost["seconds"] for cost in costs) >= 3):
        costs.append(measure("bert_headless", source))
    assert min(cost["seconds"] for cost in costs) < 3
    assert all(0.9 < cost["peak"] < 1.3 for cost in costs)


@pytest.fixture
def imports(tmp_path):
    """Loads checkpoints with packages in place that note their import, and returns which of them were imported."""
    for name in ("torch", "tensorflow"):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(FAKE)
    (tmp_path / "imported").mkdir()

    def load(*names, also=""):
        path = os.pathsep.join(filter(None, [str(tmp_path / "packages"), os.environ.get("PYTHONPATH")]))
        run(IMPORTED, also, *(GOLDEN / name for name in names), PYTHONPATH=path, IMPORTED=str(tmp_path / "imported"))
        return {file.name for file in (tmp_path / "imported").iterdir()}

    return load


def test_a_load_imports_neither_torch_nor_tensorflow(imports):
    assert imports("vit_gelu", "bert_flax", "resnet_headless", "timm_resnet18", "npz_augreg.npz") == set()


@pytest.mark.parametrize("package", ["torch", "tensorflow"])
def test_the_import_of_either_would_be_noticed(package, imports):
    assert imports("vit_gelu", also=package) == {package}
