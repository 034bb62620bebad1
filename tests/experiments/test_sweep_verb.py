"""The verb `sweep`: its words in, its table out, the exit code, and a real sweep of two runs."""

import json
import re

import pytest

from tests.conftest import TINY
from tlj import cli
from tlj.experiments import sweep


def config_file(folder, yielded, **changes):
    run = {name: TINY[name] for name in ("data", "global_batch_size", "log")} | {
        "model": {**TINY["model"], "source": ""}
    }
    base = {**run, "strategy": "scratch", "label_budget": 40, "steps": 4, "evaluate": {"every": 4}, **changes}
    text = f"def get_config(arg=None):\n    return {base!r}\n\ndef sweep(arg=None):\n    return {yielded!r}\n"
    (folder / "config.py").write_text(text)
    return f"--config={folder / 'config.py'}"


@pytest.fixture
def commands(monkeypatch):
    """Commands in place of those of members, by seed."""
    chosen = {}
    monkeypatch.setattr(sweep, "tlj_command", lambda member: chosen[member.overrides["seed"]])
    return chosen


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers=0"], "--workers: 0 workers"),
        (["--verb=compar"], "unknown verb 'compar'; did you mean 'compare'"),
        (["--config.steps=-1"], "config.steps"),
        ([], "no workdir"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = ["--workdir=w"] if words else []
    assert cli.main(["sweep", config_file(tmp_path, [{"seed": 1}]), *workdir, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.py"]


@pytest.mark.parametrize(
    ("codes", "code", "told"),
    [
        ((2, 75), 1, r"1 of 2 members failed or have runs that did: members/\w{12}; "),
        ((75, 75), 75, "2 of 2 members were stopped; run the same command again"),
    ],
)
def test_the_exit_code_says_what_became_of_the_members(codes, code, told, tmp_path, capsys, commands):
    commands |= {seed: ("sh", "-c", f"exit {number}") for seed, number in enumerate(codes)}
    words = ["sweep", config_file(tmp_path, [{"seed": 0}, {"seed": 1}]), f"--workdir={tmp_path}/w"]
    assert cli.main(words) == code
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"sweep: {tmp_path}/w"
    assert re.search(told, err.splitlines()[-1])


def test_two_real_runs_are_trained_once_and_a_second_time_nothing_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    words = ["sweep", config_file(tmp_path, [{"optimizer": {"learning_rate": rate}} for rate in (1e-2, 1e-4)])]
    words += [f"--workdir={tmp_path}/w", "--workers=2"]
    assert cli.main(words) == 0, "".join(path.read_text() for path in tmp_path.glob("w/members/*/log.txt"))
    out, _ = capsys.readouterr()
    summary = json.loads((tmp_path / "w" / "summary.json").read_text())
    assert [row["state"] for row in summary["members"]] == ["done", "done"]
    values = [row["metrics"]["validation_accuracy"] for row in summary["members"]]
    best = max(range(2), key=values.__getitem__)
    assert summary["best"] == [summary["members"][best]["hash"]]
    assert out == f"{(tmp_path / 'w' / 'table.md').read_text()}\nsweep: {tmp_path}/w\n"
    for row in summary["members"]:
        assert json.loads((tmp_path / "w" / row["folder"] / "config.json").read_text())["steps"] == 4
    assert cli.main(words) == 0
    again, err = capsys.readouterr()
    assert again == out
    assert "nothing to do: all 2 members are done" in err
