import pathlib

import pytest

from tlj import config as configuration
from tlj.experiments import extraction
from tlj.experiments.extraction import extract_for_all
from tlj.training.cached.extract import wanted
from tlj.training.programs import Programs
from tlj.training.setup import set_up

CACHED = {"strategy": "linear_probe", "init": "scratch", "cache": {"activations": "float32"}}


@pytest.fixture
def probe(tiny_config, monkeypatch, tmp_path):
    """Sets up a tiny probe of drawn features, which follow from its seed, and keeps them in a folder of the test."""
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path))

    def make(**changes):
        plain = {"data": {"augment": {"shift": 0}}, "label_budget": 40}
        config = configuration.merge(tiny_config("unused", **{**CACHED, **plain}), changes)
        config.model.source = ""
        return set_up(configuration.run_config(config), pathlib.Path())

    return make


def missing(setup):
    return len(wanted(setup, setup.spec.depth).missing()[0])


def test_what_runs_of_several_budgets_start_from_is_made_in_one_pass(probe, monkeypatch):
    made, extract = [], extraction.extract
    monkeypatch.setattr(extraction, "extract", lambda *args: made.append(args) or extract(*args))
    small, large = probe(), probe(label_budget=60)
    trials = [probe(optimizer={"learning_rate": rate}) for rate in (0.1, 0.2)]
    extract_for_all([small, *trials, large], Programs())
    assert len(made) == 1
    assert missing(small) == missing(large) == 0
    # Who comes later finds all of it.
    extract_for_all([small, large], Programs())
    assert len(made) == 1


def test_what_runs_of_one_order_start_from_is_left_to_the_first_of_them(probe):
    setups = [probe(seed=seed, optimizer={"learning_rate": rate}) for seed in (0, 1) for rate in (0.1, 0.2)]
    extract_for_all([*setups, probe(cache={"activations": "none"})], Programs())
    assert all(missing(setup) for setup in setups)
