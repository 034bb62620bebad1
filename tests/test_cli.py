import os
import pathlib
import subprocess
import sys
import time
import warnings

import pytest

from tlj import cli
from tlj.errors import InputError

ROOT = pathlib.Path(__file__).parent.parent
HEAVY = ("jax", "flax", "ml_collections", "numpy", "scipy", "matplotlib", "pyarrow", "absl", "orbax", "tensorflow")


def run(*words, cwd=ROOT):
    return subprocess.run([sys.executable, "-m", "tlj", *words], capture_output=True, text=True, cwd=cwd, check=False)


def refused(capsys, *words):
    """Runs the words, which must be refused with one line on stderr, and returns the line."""
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tlj: ")
    assert err.count("\n") == 1
    assert "usage" not in err
    return err.strip()


# Help, and how fast it comes.


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in cli.VERBS)])
def test_help_imports_nothing_heavy(words):
    program = (
        "import sys, tlj.cli\n"
        f"try: tlj.cli.main({words!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_help_answers_in_half_a_second():
    def seconds(*words):
        start = time.perf_counter()
        assert run(*words).returncode == 0
        return time.perf_counter() - start

    # The best of three: other work on the machine can only slow it down.
    assert min(seconds("--help") for _ in range(3)) < 0.5
    assert min(seconds("compare", "--help") for _ in range(3)) < 0.5


def test_help_lists_every_verb_with_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name, verb in cli.VERBS.items():
        assert name in text
        assert verb.example in text
    assert "2 bad input" in text


@pytest.mark.parametrize("name", cli.VERBS)
def test_the_help_of_a_verb_has_its_flags_and_an_example(name, capsys):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    text = capsys.readouterr().out
    assert all(flag in text for flag in cli.VERBS[name].flags)
    assert cli.VERBS[name].example in text
    assert ("--config.optimizer.learning_rate=0.001" in text) == ("--config" in cli.VERBS[name].flags)


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_example_is_read_without_a_complaint(name):
    assert cli.parse(cli.VERBS[name].example.split()[1:]).verb == name


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("tlj")


# What reaches a verb.


@pytest.mark.parametrize(
    "words", [["--config.steps=9"], ["--config.steps", "9"], ["--config.steps=1", "--config.steps=9"]]
)
def test_overrides_are_written_with_or_without_an_equals_sign(words, stand_ins, config_file):
    assert cli.main(["plan", "--config", config_file, *words]) == 0
    assert stand_ins.calls[0][1].steps == 9


def test_the_home_folder_is_expanded_in_workdir(stand_ins, config_file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["train", f"--config={config_file}", "--workdir=~/runs"]) == 0
    assert stand_ins.calls[0][1].workdir == f"{tmp_path}/runs"


def test_a_verb_leaves_the_environment_of_jax_alone(stand_ins, config_file, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = dict(os.environ)
    assert cli.main(["train", f"--config={config_file}", f"--workdir={tmp_path}/w"]) == 0
    assert dict(os.environ) == before


# Mistakes.


@pytest.mark.parametrize(("file", "problem"), [("nowhere/bench.json", "no folder"), (".", "cannot be written")])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    file, problem, stand_ins, config_file, tmp_path, capsys
):
    line = refused(capsys, "bench", f"--config={config_file}", f"--json={tmp_path}/{file}")
    assert line.startswith("tlj: --json: ")
    assert problem in line
    assert stand_ins.calls == []


def test_a_number_of_windows_that_is_none_is_refused(capsys, config_file):
    assert "invalid int value: 'many'" in refused(capsys, "bench", f"--config={config_file}", "--windows=many")


def test_an_unknown_verb_names_the_nearest(capsys):
    line = refused(capsys, "compre", "--config=configs/digits.py")
    assert "unknown verb 'compre'" in line
    assert "did you mean 'compare'?" in line


@pytest.mark.parametrize("words", [[], ["--config=configs/digits.py", "compare"]])
def test_a_missing_verb_lists_them(words, capsys):
    assert "compare, train, report, plan, find-lr, bench, audit, predict, inspect, export" in refused(capsys, *words)


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [("--wrkdir=x", "--workdir"), ("--work=x", "--workdir"), ("--steps=3", "--config.steps")],
)
def test_an_unknown_flag_names_the_nearest(flag, nearest, capsys, config_file):
    line = refused(capsys, "compare", f"--config={config_file}", flag)
    assert f"unknown flag {flag.partition('=')[0]!r}" in line
    assert f"did you mean {nearest!r}?" in line


def test_a_misspelt_flag_is_named_before_the_one_that_is_missing(capsys):
    assert "did you mean '--config'?" in refused(capsys, "compare", "--confg=configs/digits.py")


def test_an_unexpected_argument_is_refused(capsys, config_file):
    assert "unexpected argument 'runs'" in refused(capsys, "compare", f"--config={config_file}", "runs")


@pytest.mark.parametrize(
    ("words", "missing"),
    [(["compare"], "--config"), (["report"], "DIR"), (["inspect"], "DIR"), (["plan"], "--config"), (["export"], "RUN")],
)
def test_a_missing_argument_is_named(words, missing, capsys):
    line = refused(capsys, *words)
    assert missing in line
    assert line.startswith(f"tlj: {words[0]}: ")


@pytest.mark.parametrize("words", [["--config.steps"], ["--config.steps", "--workdir=x"]])
def test_an_override_without_a_value_is_refused(words, capsys, config_file):
    assert "write --config.steps=VALUE" in refused(capsys, "compare", f"--config={config_file}", *words)


def test_overrides_make_no_sense_for_a_report(capsys, tmp_path):
    assert "report takes no configuration" in refused(capsys, "report", str(tmp_path), "--config.margin=0.1")


def test_mistakes_in_the_configuration_are_one_line(capsys, config_file, tmp_path, stand_ins):
    workdir = f"--workdir={tmp_path}/w"
    assert "did you mean 'model.family'?" in refused(
        capsys, "compare", f"--config={config_file}", workdir, "--config.model.famly=vit"
    )
    assert "config.steps: 'many'" in refused(capsys, "train", f"--config={config_file}", workdir, "--config.steps=many")
    assert "config.py" in refused(capsys, "plan", f"--config={tmp_path}/confg.py")
    assert not (tmp_path / "w").exists()
    assert stand_ins.calls == []


@pytest.mark.parametrize("verb", ["compare", "train"])
def test_training_needs_a_workdir(verb, capsys, config_file, stand_ins):
    assert "give --workdir=DIR" in refused(capsys, verb, f"--config={config_file}")
    assert stand_ins.calls == []


@pytest.mark.parametrize("below", ["", "/deeper/still"])
def test_a_workdir_on_a_file_is_refused(below, capsys, config_file, tmp_path, stand_ins):
    (tmp_path / "taken").write_text("")
    line = refused(capsys, "compare", f"--config={config_file}", f"--workdir={tmp_path}/taken{below}")
    assert f"{tmp_path}/taken is a file" in line
    assert stand_ins.calls == []


@pytest.mark.parametrize("verb", ["report", "inspect"])
def test_a_missing_folder_names_the_nearest(verb, capsys, tmp_path):
    (tmp_path / "digits").mkdir()
    line = refused(capsys, verb, f"{tmp_path}/digit")
    assert "no such folder" in line
    assert f"did you mean '{tmp_path}/digits'?" in line


def test_a_file_is_not_a_run(capsys, tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    assert "a file, not a folder" in refused(capsys, "inspect", f"{tmp_path}/summary.json")


def test_bad_input_found_later_is_one_line_too(stand_ins, capsys, config_file, tmp_path):
    stand_ins.results["tlj.experiments.compare"]["compare"] = InputError("unknown arm 'ful'", nearest="full")
    line = refused(capsys, "compare", f"--config={config_file}", f"--workdir={tmp_path}/w")
    assert line == "tlj: unknown arm 'ful'; did you mean 'full'?"


def test_ctrl_c_says_how_to_resume(stand_ins, capsys, config_file, tmp_path):
    stand_ins.results["tlj.experiments.compare"]["compare"] = KeyboardInterrupt()
    assert cli.main(["compare", f"--config={config_file}", f"--workdir={tmp_path}/w"]) == 1
    assert capsys.readouterr().err == "tlj: stopped; run the same command again to resume\n"


def test_any_other_failure_keeps_its_traceback(stand_ins, config_file, tmp_path):
    stand_ins.results["tlj.experiments.compare"]["compare"] = ValueError("a fault of ours")
    with pytest.raises(ValueError, match="a fault of ours"):
        cli.main(["compare", f"--config={config_file}", f"--workdir={tmp_path}/w"])


def test_devices_that_are_not_there_are_one_line(processes):
    words = ["plan", "--config=configs/digits.py", "--config.strategy=scratch"]
    ended = processes.start(tlj=words, environment={"JAX_PLATFORMS": "gpuu"}).wait()
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("tlj: JAX has no device with JAX_PLATFORMS=gpuu: ")
    assert ended.stderr.count("\n") == 1


def test_the_module_runs_as_a_program_with_the_exit_code():
    process = run("compre")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("tlj: unknown verb 'compre'")


def test_a_reader_that_has_gone_is_no_fault():
    # `true` has closed the pipe long before the plan is made.
    words = f"{sys.executable} -m tlj plan --config=configs/digits.py --config.strategy=gradual:20 --json | true"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_warning_is_one_line_like_an_error(tmp_path, capsys):
    source = ROOT / "tests" / "golden" / "checkpoints" / "cifar_padded" / "model.safetensors"
    assert cli.main(["export", str(source), f"--to={tmp_path}/exported", "--format=torch"]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"tlj: {source}: nothing tells its preprocessing")
    assert err.count("\n") == 1


def test_a_warning_says_tlj_once_and_stays_one_line_whatever_a_file_is_called(stand_ins, monkeypatch, capsys, tmp_path):
    where = str(ROOT / "tlj" / "a.py")
    message = "tlj: a\nb\r.jpg is left out"
    monkeypatch.setattr(
        sys.modules["tlj.training.inspection"],
        "inspect_run",
        lambda folder, step: warnings.warn_explicit(message, UserWarning, where, 1),
    )
    assert cli.main(["inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "tlj: a\\nb\\r.jpg is left out\n"
