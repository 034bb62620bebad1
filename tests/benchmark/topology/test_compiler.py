import importlib.util
import pathlib

import pytest

from tlj import config as configuration
from tlj.benchmark.topology import compiler
from tlj.benchmark.topology.compiler import Compiler, check_installed, read_answer
from tlj.benchmark.topology.facts import Facts, TooLarge
from tlj.errors import InputError, RunError

HAS_COMPILER = importlib.util.find_spec("libtpu") is not None


def tiny_vit(**changes):
    model = {"family": "vit", "settings": {"patch_size": 4, "width": 32, "depth": 1, "heads": 2}}
    tiny = {"data.source": "synthetic:16x10", "model": model, "init": "scratch", "strategy": "full", **changes}
    return configuration.run_config(configuration.merge(configuration.default(), tiny))


def test_a_missing_compiler_is_a_line_that_says_how_to_install_it_and_why_apart(monkeypatch):
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "tlj\[tpu\]" in an environment of its own: with it every start'):
        check_installed()


def test_answers_come_back_as_what_they_were():
    facts = Facts(1.0, 2.0, 3, 4.0, 5, 6, 7, 8)
    assert read_answer({"facts": vars(facts)}, "v5e:4x4") == facts
    assert read_answer({"too_large": {"needed_bytes": 2.0, "usable_bytes": 1.0}}, "v5e:4x4") == TooLarge(2.0, 1.0)
    error = {"what": "no good", "where": "config.a", "nearest": None, "do": "change it"}
    with pytest.raises(InputError, match=r"config.a: no good \(on v5e:4x4\); change it"):
        read_answer({"input_error": error}, "v5e:4x4")
    with pytest.raises(RunError, match="could not compile for v5e:4x4: ValueError: a fault"):
        read_answer({"failed": "ValueError: a fault"}, "v5e:4x4")


@pytest.mark.skipif(HAS_COMPILER, reason="libtpu is installed: see the tests of the real compiler")
def test_a_process_without_a_compiler_answers_with_a_line_and_ends_with_its_context(chips, capfd):
    with Compiler(pathlib.Path()) as found, pytest.raises(RunError) as failed:
        found.ask(chips("v5e:2x2"), tiny_vit(), 0)
    assert str(failed.value).startswith("the TPU compiler could not compile for v5e:2x2: ")
    assert "\n" not in str(failed.value)
    assert found._process.returncode is not None
    assert capfd.readouterr() == ("", "")


def test_a_process_that_dies_is_told_by_its_last_words(chips, monkeypatch):
    monkeypatch.setattr(compiler.sys, "executable", "/bin/false")
    with (
        Compiler(pathlib.Path()) as found,
        pytest.raises(RunError, match="ended while it compiled for v5e:2x2: it did"),
    ):
        found.ask(chips("v5e:2x2"), tiny_vit(), 0)


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu is not installed; it has an environment of its own")
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_real_compiler_reduces_every_gradient_and_is_silent(chips, capfd, mode):
    with Compiler(pathlib.Path()) as found:
        facts = found.ask(chips("v5e:2x2"), tiny_vit(**{"parallel.mode": mode, "global_batch_size": 32}), 0)
    parameters = 32 * (4 * 4 * 3 + 1 + 17 + 1) + (12 * 32**2 + 13 * 32) + 2 * 32 + 33 * 10
    assert facts.all_reduce_bytes == pytest.approx(4 * parameters, rel=0.02)
    assert facts.sent_bytes == pytest.approx(1.5 * facts.all_reduce_bytes, rel=0.01)
    assert facts.temporary_bytes > 0
    assert capfd.readouterr() == ("", "")
