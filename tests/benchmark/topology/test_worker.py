import json
import pathlib

import pytest

from tlj import config as configuration
from tlj.benchmark.topology import compiled_step
from tlj.benchmark.topology.facts import Facts, TooLarge
from tlj.benchmark.topology.worker import answer
from tlj.errors import InputError

FACTS = Facts(1.0, 2.0, 3, 4.0, 5, 6, 7, 8)


@pytest.fixture
def question(one_run, monkeypatch):
    """A question about the second phase of a run, and what the compiler is to say of it."""
    setup = one_run(strategy="lp_ft:10")

    def ask(outcome):
        def compile_step(found, phase):
            assert (found, phase) == (setup, setup.phases[1])
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(compiled_step, "set_up_for", lambda slice_, config, base: setup)
        monkeypatch.setattr(compiled_step, "compile_step", compile_step)
        asked = {"slice": {"name": "v5e:2x2", "options": {}}, "config": setup.config, "base": ".", "phase": 1}
        return answer(json.loads(json.dumps(asked)))

    return ask


def test_an_answer_is_json_and_says_of_what_kind_it_is(question):
    assert question(FACTS)["facts"]["code_bytes"] == 8
    assert question(TooLarge(2.0, 1.0)) == {"too_large": {"needed_bytes": 2.0, "usable_bytes": 1.0}}
    json.dumps(question(FACTS))


def test_what_goes_wrong_is_a_line(question):
    error = InputError("no good", where="config.a", nearest="b", do="change it")
    assert question(error) == {
        "input_error": {"what": "no good", "where": "config.a", "nearest": "b", "do": "change it"}
    }
    assert question(ValueError("first\nsecond")) == {"failed": "ValueError: first"}


def test_the_config_of_a_run_travels_as_json(tiny_config):
    resolved = configuration.run_config(tiny_config(pathlib.Path("w")))
    assert configuration.flatten(json.loads(json.dumps(resolved))).keys() == configuration.flatten(resolved).keys()
