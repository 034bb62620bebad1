"""What the verbs of the command line call and print."""

import json
import os
import pathlib

import pytest

from tlj import cli


def test_compare_passes_the_configuration_and_the_command_and_ends_with_the_report(
    stand_ins, config_file, tmp_path, capsys
):
    words = ["compare", f"--config={config_file}", f"--workdir={tmp_path}/w d", "--config.seeds=0,1"]
    assert cli.main(words) == 0
    (name, config, command), reported = stand_ins.calls
    assert reported == ("write_report", pathlib.Path("runs/a"))
    assert (name, config.steps, config.seeds, config.workdir) == ("compare", 5, (0, 1), f"{tmp_path}/w d")
    assert command == f"tlj compare --config={config_file} '--workdir={tmp_path}/w d' --config.seeds=0,1"
    assert capsys.readouterr().out.splitlines() == ["Transfer: it helps.", f"report: {tmp_path}/report.html"]


def test_train_prints_the_run(stand_ins, config_file, tmp_path, capsys):
    assert cli.main(["train", f"--config={config_file}", f"--workdir={tmp_path}/w"]) == 0
    assert stand_ins.calls[0][0] == "train"
    assert capsys.readouterr().out == "run: runs/one\n"


def test_report_prints_the_report(stand_ins, tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 0
    assert stand_ins.calls == [("write_report", tmp_path)]
    assert capsys.readouterr().out == f"Transfer: it helps.\nreport: {tmp_path}/report.html\n"


def test_plan_needs_no_workdir_and_prints_text_or_json(stand_ins, config_file, capsys):
    assert cli.main(["plan", f"--config={config_file}"]) == 0
    assert capsys.readouterr().out == "a plan\n"
    assert cli.main(["plan", f"--config={config_file}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"phases": []}
    assert [name for name, *_ in stand_ins.calls] == ["plan", "format_plan", "plan"]
    assert stand_ins.calls[0][2] == ()


def test_plan_takes_topologies_and_refuses_them_before_any_work(stand_ins, config_file, capsys, monkeypatch):
    from tlj.benchmark.topology import compiler

    words = ["plan", f"--config={config_file}", "--topology=v5e:4x4,v4-32"]
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: name == "libtpu")
    assert cli.main(words) == 0
    assert [(one.name, one.chips) for one in stand_ins.calls[0][2]] == [("v5e:4x4", 16), ("v4-32", 16)]
    stand_ins.calls.clear()
    assert cli.main(["plan", f"--config={config_file}", "--topology=v5e:4x5"]) == 2
    assert capsys.readouterr().err.startswith("tlj: --topology: unknown topology 'v5e:4x5'; did you mean")
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(
        "tlj: --topology: the TPU compiler, libtpu, is not installed; pip install"
    )
    assert stand_ins.calls == []


def test_bench_prints_its_table_and_writes_json_where_it_is_told(stand_ins, config_file, tmp_path, capsys):
    words = ["bench", f"--config={config_file}", "--strategies=linear_probe,full", "--windows=3"]
    assert cli.main([*words, f"--json={tmp_path}/bench.json"]) == 0
    (name, config, *asked), _ = stand_ins.calls
    assert (name, config.steps, asked) == ("bench", 5, ["linear_probe,full", 3, (), None])
    assert capsys.readouterr().out == "a table\n"
    assert json.loads((tmp_path / "bench.json").read_text()) == {"rows": []}


def test_bench_takes_the_configs_own_strategy_where_none_is_given_and_writes_nothing(
    stand_ins, config_file, tmp_path, capsys
):
    before = sorted(tmp_path.iterdir())
    assert cli.main(["bench", f"--config={config_file}"]) == 0
    assert stand_ins.calls[0][2:] == (None, 5, (), None)
    assert sorted(tmp_path.iterdir()) == before


def test_what_computes_nothing_settles_for_the_cpu_and_only_where_nothing_is_said(
    stand_ins, config_file, monkeypatch, tmp_path
):
    import jax

    settled = []
    monkeypatch.setattr(jax.config, "update", lambda name, value: settled.append((name, value)))
    verbs = (["plan", f"--config={config_file}"], ["inspect", str(tmp_path)])
    monkeypatch.setenv("JAX_PLATFORMS", "")
    for words in verbs:
        assert cli.main(words) == 0
    monkeypatch.delenv("JAX_PLATFORMS")
    assert cli.main(["bench", f"--config={config_file}"]) == 0
    assert settled == []
    for words in verbs:
        assert cli.main(words) == 0
    assert settled == [("jax_platforms", "cpu")] * 2
    assert "JAX_PLATFORMS" not in os.environ


def test_inspect_prints_text_or_json_of_the_step_that_is_asked_for(stand_ins, tmp_path, capsys):
    assert cli.main(["inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "a run\n"
    assert cli.main(["inspect", str(tmp_path), "--json", "--step=20"]) == 0
    assert json.loads(capsys.readouterr().out) == {"step": 5}
    assert cli.main(["inspect", str(tmp_path), "--step=best"]) == 0
    asked = [call for call in stand_ins.calls if call[0] == "inspect_run"]
    assert asked == [("inspect_run", tmp_path, step) for step in ("latest", 20, "best")]
    assert cli.main(["inspect", str(tmp_path), "--step=first"]) == 2
    assert "--step: no step 'first'" in capsys.readouterr().err


def test_export_loads_the_run_at_a_step_and_prints_the_files(stand_ins, tmp_path, capsys):
    words = ["export", "runs/one", f"--to={tmp_path}/out", "--format=stablehlo"]
    for step, expected in (([], "latest"), (["--step=best"], "best"), (["--step=20"], 20)):
        assert cli.main([*words, *step]) == 0
        checked, loaded, exported = stand_ins.calls
        assert checked == ("check_export", tmp_path / "out", "stablehlo")
        assert loaded == ("load", pathlib.Path("runs/one"), {"step": expected})
        assert exported == ("export", "a model", tmp_path / "out", "stablehlo")
        assert capsys.readouterr().out == f"out/config.json\nexported: {tmp_path}/out\n"
        stand_ins.calls.clear()


def test_export_writes_the_layout_of_transformers_unless_told(stand_ins, tmp_path):
    assert cli.main(["export", "owner/name", f"--to={tmp_path}/out"]) == 0
    assert stand_ins.calls[-1][-1] == "huggingface"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "tlj: export: no folder to write to; give --to=DIR"),
        (["--to=x", "--step=first"], "tlj: --step: no step 'first'; give latest, best or a number"),
        (["--to=x", "--step=-1"], "tlj: --step: no step '-1'"),
    ],
)
def test_what_export_cannot_do_is_said_before_anything_is_loaded(words, problem, stand_ins, capsys):
    assert cli.main(["export", "runs/one", *words]) == 2
    assert capsys.readouterr().err.startswith(problem)
    assert stand_ins.calls == []


def test_a_checkpoint_is_exported_from_the_command_line(tmp_path, capsys, monkeypatch):
    # Said already, so that the tests after this one keep the devices that they have.
    monkeypatch.setenv("JAX_PLATFORMS", os.environ.get("JAX_PLATFORMS", ""))
    source, target = pathlib.Path(__file__).parent / "golden" / "checkpoints" / "vit_gelu", tmp_path / "out"
    assert cli.main(["export", str(source), f"--to={target}"]) == 0
    names = ("config.json", "model.safetensors", "preprocessor_config.json", "README.md")
    assert capsys.readouterr().out.splitlines() == [*(f"{target}/{name}" for name in names), f"exported: {target}"]
    assert sorted(path.name for path in target.iterdir()) == sorted(names)
    assert cli.main(["export", str(source), f"--to={target}"]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["train"], ["keep_compiled"]),
        (["train", "--no-compile-cache"], ["keep_nothing"]),
        (["train", "--dry-run"], []),
        (["compare", "--dry-run"], []),
        (["train", "--dry-run", "--no-compile-cache"], ["keep_nothing"]),
        (["plan"], []),
    ],
)
def test_programs_are_kept_unless_nothing_is_to_be_written(words, done, stand_ins, config_file, tmp_path, monkeypatch):
    from tlj import compile_cache

    called = []
    for name in ("keep_compiled", "keep_nothing"):
        monkeypatch.setattr(compile_cache, name, lambda name=name: called.append(name))
    workdir = [f"--workdir={tmp_path}/w"] if words[0] != "plan" else []
    assert cli.main([*words, f"--config={config_file}", *workdir]) == 0
    assert called == done


def test_a_comparison_with_failed_runs_ends_with_one_after_its_report(stand_ins, tmp_path, config_file, capsys):
    failed = [{"path": f"runs/full/10/{seed}"} for seed in range(7)]
    (tmp_path / "summary.json").write_text(json.dumps({"answer": "Undecided.", "failed": failed}))
    assert cli.main(["compare", f"--config={config_file}", f"--workdir={tmp_path / 'w'}"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith("report: ")
    assert "7 runs failed twice, and the report shows them: runs/full/10/0, " in told.err
    assert "runs/full/10/4 and 2 more; remove their folders" in told.err
