"""The step of tlj that is set beside a peer's."""

import pathlib
import types

import numpy as np

from tlj import config as configuration
from tlj.benchmark.peers import own_step
from tlj.benchmark.peers.own_step import the_batch, time_steps
from tlj.training.compiled import step_program
from tlj.training.programs import Programs
from tlj.training.setup import set_up


def test_rows_of_text_are_random_tokens_without_padding():
    changes = {
        "model": {"family": "bert", "settings": {"width": 8, "depth": 1, "heads": 1, "vocabulary": 3000}},
        "data": {"source": "synthetic_text:16x2"},
    }
    config = configuration.run_config(configuration.merge(configuration.default(), changes))
    setup = set_up(config, pathlib.Path(), needs_source=False)
    batch = the_batch(setup)
    assert batch["input_ids"].shape == (32, 16)
    assert 1000 <= batch["input_ids"].min() < batch["input_ids"].max() < 3000
    assert np.all(batch["attention_mask"] == 1)
    assert np.any(setup.usual_batch["attention_mask"] == 0)


def test_two_steps_come_before_those_that_count(one_run, monkeypatch):
    setup = one_run(strategy="linear_probe", init="scratch")
    clock = iter([0.0, 100.0, 150.0, 151.0, 153.0, 156.0])
    monkeypatch.setattr(own_step, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    times = time_steps(setup, 3)
    assert (times["first_step_s"], times["median_s"], times["min_s"], times["max_s"]) == (100.0, 2.0, 1.0, 3.0)
    program, _ = step_program(setup, setup.phases[0], Programs())
    assert (times["flops"], times["mfu"]) == (program.flops, None)
