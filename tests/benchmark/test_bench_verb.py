"""The flags of ``tlj bench``: which go together, and what becomes of a measurement."""

import json

import pytest

from tests.benchmark.bench.test_plots import FACTS, ROWS
from tlj import cli
from tlj.benchmark import bench_verb

MEASURED = {
    **FACTS, "device_count": 1, "config_digest": "a", "windows": 2,
    "rows": [{**row, "window_s": [row["median_s"]] * 2, "compile_s": 1.0, "steps_per_window": 20, "p5_s": 0.1,
              "p95_s": 0.2, "mfu": None, "input_wait_share": 0.1, "input_wait_reason": None} for row in ROWS],
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """Puts made-up measurements in the place of those of steps, and keeps what was asked for."""
    calls = []

    def measure(name):
        return lambda *arguments: calls.append((name, *arguments[1:])) or MEASURED

    monkeypatch.setattr("tlj.benchmark.bench.bench", measure("bench"))
    monkeypatch.setattr("tlj.benchmark.bench.scaling.bench_scaling", measure("scaling"))
    return calls


def test_a_measurement_is_compared_drawn_and_written(asked, config_file, tmp_path, capsys):
    (tmp_path / "then.json").write_text(json.dumps({**MEASURED, "device": "cpu"}))
    words = ["bench", f"--config={config_file}", "--batches=8,32", f"--compare={tmp_path}/then.json"]
    assert cli.main([*words, f"--plots={tmp_path}/plots", f"--json={tmp_path}/now.json"]) == 0
    assert asked == [("bench", None, 5, (8, 32), None)]
    out = capsys.readouterr().out
    assert "differs: device: then cpu, now NVIDIA H200" in out
    assert out.splitlines()[-1] == f"plot: {tmp_path}/plots/memory.pdf"
    written = json.loads((tmp_path / "now.json").read_text())
    assert [row["changed"] for row in written["compared"]["rows"]] == ["same"] * 4
    assert written["rows"] == MEASURED["rows"]


def test_traces_are_asked_for_and_it_is_said_how_to_see_them(asked, config_file, tmp_path, capsys):
    assert cli.main(["bench", f"--config={config_file}", f"--profile={tmp_path}/new"]) == 0
    assert asked == [("bench", None, 5, (), tmp_path / "new")]
    assert f"see them with `tensorboard --logdir={tmp_path}/new`" in capsys.readouterr().out


def test_numbers_of_devices_are_measured_elsewhere(asked, config_file):
    assert cli.main(["bench", f"--config={config_file}", "--scaling=1,2", "--windows=3"]) == 0
    assert asked == [("scaling", (1, 2), None, 3)]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--overhead", "--batches=8"], "--batches: --overhead measures no steps of strategies"),
        (["--input-only", "--plots=p"], "--plots: --input-only measures no steps of strategies"),
        (["--scaling=1,2", "--batches=8"], "--batches: --scaling gives every device the batch of the config"),
        (["--scaling=1,2", "--profile=p"], "--profile: --scaling gives every device the batch of the config"),
        (["--batches=8,x"], "--batches: '8,x' is not a list of whole numbers"),
        (["--scaling=0"], "--scaling: '0' is not a list of whole numbers"),
        (["--compare=nowhere.json"], "--compare: nowhere.json: No such file"),
        (["--profile={folder}"], "--profile: {folder} is not empty"),
        (["--plots={file}"], "--plots: {file} is a file, not a folder"),
        (["--data=digits"], "--data: only input is measured on several data; add --input-only"),
    ],
)
def test_flags_that_make_no_sense_are_refused_before_anything_is_measured(
    words, problem, asked, config_file, tmp_path, capsys
):
    names = {"folder": str(tmp_path), "file": config_file}
    assert cli.main(["bench", f"--config={config_file}", *(word.format(**names) for word in words)]) == 2
    assert capsys.readouterr().err.startswith(f"tlj: {problem.format(**names)}")
    assert asked == []


def test_the_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = cli.parse(["bench", "--config=c.py", "--plots=~/plots"])
    bench_verb.check_words(arguments)
    assert arguments.plots == tmp_path / "plots"
