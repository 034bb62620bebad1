"""The words and the exit codes of the measuring commands."""

import sys

import pytest

from tlj.benchmark.command import command, exit_code
from tlj.errors import InputError, RunError


def words():
    given = command("tlj.benchmark.some", "Measures something.")
    given.add_argument("--batch", type=int, default=8)
    return given


def test_overrides_of_the_configuration_stand_beside_flags():
    arguments, overrides = words().take(["--batch=4", "--config.remat=none", "--config.data.text.length=16"])
    assert arguments.batch == 4
    assert overrides == ["remat=none", "data.text.length=16"]


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("--batch=many", "python -m tlj.benchmark.some: argument --batch: invalid int value: 'many'; see `python -m"),
        ("--bat=4", "python -m tlj.benchmark.some: unexpected word '--bat=4'"),
        ("--config.remat", "python -m tlj.benchmark.some: unexpected word '--config.remat'"),
    ],
)
def test_a_mistake_is_one_line(word, problem):
    with pytest.raises(InputError) as error:
        words().take([word])
    assert str(error.value).startswith(problem)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (None, 0, ""),
        (InputError("no batch", where="--batch", do="give one"), 2, "tlj: --batch: no batch; give one\n"),
        (RunError("the peer failed"), 1, "tlj: the peer failed\n"),
        (KeyboardInterrupt(), 1, "tlj: stopped\n"),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(error, code, line, monkeypatch, capsys):
    taken = []

    def run(argv):
        taken.extend(argv)
        if error:
            raise error

    monkeypatch.setattr(sys, "argv", ["some", "--batch=4"])
    assert exit_code(run) == code
    assert taken == ["--batch=4"]
    assert capsys.readouterr().err == line
