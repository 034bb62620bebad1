"""Corrupted checkpoints end in the project's own error or in a verified load, and in nothing else."""

import collections
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
CHECKPOINTS = ROOT / "tests" / "golden" / "checkpoints"
FILES = {
    "safetensors": CHECKPOINTS / "bert_gelu" / "model.safetensors",
    "msgpack": CHECKPOINTS / "vit_flax" / "flax_model.msgpack",
    "npz": CHECKPOINTS / "npz_augreg.npz",
}


# A process of its own, since a page beyond the end of a file, or memory beyond a limit, may end the process.
@pytest.mark.parametrize("kind", FILES)
def test_200_corruptions_of_a_file_end_in_a_clear_error_or_a_verified_load(kind, tmp_path):
    command = [sys.executable, str(pathlib.Path(__file__).with_name("load_corrupted.py"))]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [*command, kind, str(FILES[kind]), str(tmp_path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, f"ended at {lines[-1:]}\n{ran.stderr[-3000:]}"
    ended = [line for line in lines if "outcome" in line]
    failures = [line for line in ended if not line["outcome"].startswith(("loaded", "refused: "))]
    assert not failures, "\n".join(f"{f['corruption']}, seed {f['seed']}:\n{f['outcome']}" for f in failures[:5])
    assert ended[0] == {"seed": -1, "corruption": "none", "outcome": "loaded"}
    outcomes = collections.Counter(line["outcome"].partition(":")[0] for line in ended[1:])
    assert outcomes.total() == 200
    # A fuzz of which nothing is refused corrupts nothing, and one of which nothing is loaded may never have read.
    assert min(outcomes["loaded"], outcomes["refused"]) >= 10, outcomes
