"""The plain loop reads what it is told, when it is told."""

import json
import subprocess
import sys

import PIL.Image


def test_it_waits_until_it_is_let_go_and_prints_the_seconds(tmp_path):
    PIL.Image.new("L", (30, 20)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "tlj.benchmark.plain_loop", "16", "bicubic"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(json.dumps([str(tmp_path / "a.png")] * 3) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        printed, _ = process.communicate("go\n", timeout=60)
    assert process.returncode == 0
    assert 0 < float(printed) < 60
