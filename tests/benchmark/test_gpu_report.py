"""The script for a host with a GPU, with a stand-in for what measures, and its table."""

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from tlj.benchmark.gpu_report import format_report, read_parts
from tlj.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
PEER = {
    "peer": {"name": "torch --compile"}, "step": {"batch": 256, "dtype": "bfloat16"}, "peer_s": 0.1, "own_s": 0.08,
    "ratio": {"median": 0.8, "low": 0.7, "high": 0.95, "by_round": [0.7, 0.8, 0.95]}, "mfu": 0.45,
}  # fmt: skip
ROWS = [
    {"strategy": "linear_probe", "batch": 256, "median_s": 0.036, "mfu": 0.4, "relative_time": 0.36,
     "relative_flops": 0.34},
    {"strategy": "full", "batch": 256, "median_s": 0.1, "mfu": 0.5, "relative_time": 1.0, "relative_flops": 1.0},
]  # fmt: skip
FACTS = {"device": "NVIDIA H200", "date": "2026-11-22T08:00:00+00:00", "versions": {"jax": "0.10.2"}}

# In the place of python: writes what a measurement would, fails or hangs where its part is named so.
STAND_IN = f"""#!{sys.executable}
import json, os, sys, time
words = sys.argv[1:]
if words[:2] == ["-m", "tlj.benchmark.gpu_report"]:
    os.execv({sys.executable!r}, [{sys.executable!r}, *words])
if words[0] == "-c":
    sys.exit(1)
name = next((word.removeprefix("--json=") for word in words if word.startswith("--json=")), None)
if "bert_base" in name:
    print("no memory")
    sys.exit(3)
if "resnet50" in name:
    time.sleep(60)
facts, peer, rows = {FACTS!r}, {PEER!r}, {{"rows": {ROWS!r}}}
content = facts if "facts" in name else peer if "peer-" in name else rows
open(name, "w").write(json.dumps({{**content, "words": words}}))
"""


@pytest.fixture
def run(tmp_path):
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def start(*words, **variables):
        environment = {**os.environ, "TLJ_PYTHON": str(python), "OUT": str(tmp_path / "out"), "PYTHONPATH": str(ROOT)}
        command = ["bash", str(ROOT / "launch" / "bench_gpu.sh"), *words]
        finished = subprocess.run(command, capture_output=True, text=True, env={**environment, **variables})
        return finished, tmp_path / "out"

    return start


def test_what_fails_or_finds_no_time_leaves_the_rest(run):
    finished, out = run(MODELS="vit_b16 bert_base", PEER_PYTHON="python3", PEER_SCRIPT="peer.py", ROUNDS="1")
    assert finished.returncode == 0
    assert "torch --compile  256" in finished.stdout
    assert "missing: peer-bert_base, exit code 3: no memory" in finished.stdout
    assert "missing: bench-bert_base, exit code 3: no memory" in finished.stdout
    assert (out / "table.txt").read_text() == finished.stdout
    peer, own = (json.loads((out / f"{kind}-vit_b16.json").read_text())["words"] for kind in ("peer", "bench"))
    assert {"--batch=256", "--dtype=bfloat16", "--device=cuda", "--compile", "--rounds=1"} <= set(peer)
    assert {"--strategies=linear_probe,last_blocks:4", "--config.global_batch_size=256"} <= set(own)


def test_what_hangs_is_ended_at_the_end_of_all(run):
    finished, _ = run(MODELS="resnet50 vit_b16", SECONDS_IN_ALL="4")
    assert finished.returncode == 0
    assert "missing: bench-resnet50, its time was up" in finished.stdout
    assert "missing: bench-vit_b16, left out: no time was left" in finished.stdout
    assert "missing: peer-vit_b16, left out: set PEER_PYTHON and PEER_SCRIPT" in finished.stdout


def test_an_unknown_word_is_refused(run):
    finished, out = run("--fast")
    assert (finished.returncode, out.exists()) == (2, False)


def test_targets_are_met_or_missed():
    parts = [{"name": "peer-vit_b16", "code": "0", "seconds": "1"}]
    found = {"parts": parts, "facts": FACTS, "peer-vit_b16": PEER, "bench-vit_b16": {"rows": ROWS}}
    found["attention-cudnn"] = {"median_s": 0.02, "mfu": None}
    text = format_report(found, {})
    lines = text.splitlines()
    assert lines[:2] == ["NVIDIA H200, 2026-11-22T08:00:00+00:00", "jax 0.10.2"]
    peer, probe, full, kernel = (lines[number].split() for number in (5, 9, 10, 14))
    assert peer[-3:] == ["45.0%", "0.5", "missed"]
    assert peer[-4] == "met"
    assert (probe[-2:], full[-2:]) == (["1.06", "met"], ["1.00", "-"])
    assert kernel == ["cudnn", "20", "ms", "-"]
    assert "missing" not in text
    slow = [{**ROWS[0], "relative_time": 0.38}]
    assert format_report({**found, "bench-vit_b16": {"rows": slow}}, {}).count("missed") == 2


def test_a_folder_without_measurements_is_refused(tmp_path):
    with pytest.raises(InputError, match="no measurements in"):
        read_parts(tmp_path)
