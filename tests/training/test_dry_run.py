import pathlib

import jax
import numpy as np
import pytest

from tlj import config as configuration
from tlj.training.compiled import initial_state, step_program
from tlj.training.dry_run import BIGGEST, dry_run
from tlj.training.held_out import validate
from tlj.training.initial import start_variables
from tlj.training.programs import Programs, count_compilations
from tlj.training.setup import set_up
from tlj.training.state import TrainState


@pytest.fixture(scope="module")
def thawing(tiny_run):
    """A run of two phases, what its dry run found, and the programs that it compiled."""
    setup, programs = tiny_run(strategy="lp_ft:10", init="scratch", log={"every": 1}), Programs()
    return setup, dry_run(setup, programs), programs


@pytest.fixture
def one_setup_without_source(tiny_config):
    config = tiny_config("unused", strategy="linear_probe", label_budget=40)
    config.model.source = ""
    return set_up(configuration.run_config(config), pathlib.Path(), needs_source=False)


def test_every_phase_is_compiled_with_its_table_flops_and_memory(thawing):
    setup, found, programs = thawing
    probe, full = found["phases"]
    assert [phase["start"] for phase in found["phases"]] == [0, 10]
    assert probe["flops"] < full["flops"]
    assert probe["state_bytes"]["optimizer"] < full["state_bytes"]["optimizer"]
    assert probe["peak_bytes"] > probe["state_bytes"]["parameters"]
    assert [group["name"] for group in probe["groups"]] == ["head", "frozen"]
    for phase, facts in zip(setup.phases, found["phases"], strict=True):
        program, compiled_now = step_program(setup, phase, programs)
        assert not compiled_now, "the dry run compiled something else than the step of the run"
        assert program.flops == facts["flops"]


def test_the_bytes_are_those_of_the_state_that_a_run_begins_with(thawing):
    setup, found, programs = thawing
    state = initial_state(setup, setup.phases[1], start_variables(setup)[0], programs)
    sizes = {
        "parameters": sum(leaf.nbytes for leaf in jax.tree.leaves(state.params)),
        "optimizer": sum(leaf.nbytes for leaf in jax.tree.leaves(state.opt_state)),
        "other": 0,
    }
    assert found["phases"][1]["state_bytes"] == sizes


def test_the_biggest_leaves_and_the_batch_are_shown_with_their_shapes(thawing):
    setup, found, _ = thawing
    sizes = [leaf["bytes"] for leaf in found["leaves"]]
    assert len(sizes) == BIGGEST
    assert sizes == sorted(sizes, reverse=True)
    assert found["leaves"][0]["path"].startswith("params/backbone/block0/mlp/")
    assert found["leaves"][0]["bytes"] == 4 * np.prod(found["leaves"][0]["shape"])
    assert found["batch"]["image"] == {"shape": [16, 8, 8, 3], "dtype": "uint8"}
    assert found["mesh"] == {"data": jax.device_count(), "fsdp": 1}


def test_two_steps_and_a_validation_are_those_of_the_run(thawing, tiny_run):
    setup, found, programs = thawing
    assert found["steps"] == 2
    assert found["training"]["rejected"] == []
    assert 0 < found["training"]["loss"] < 5
    untrained = initial_state(setup, setup.phases[0], start_variables(setup)[0], programs)
    before = validate(setup, programs, untrained)
    assert set(found["validation"]) == set(before)
    assert found["validation"]["validation_loss"] != before["validation_loss"]
    with count_compilations() as compiled:
        again = dry_run(tiny_run(strategy="lp_ft:10", init="scratch", log={"every": 1}), programs)
    assert (again["training"], again["validation"]) == (found["training"], found["validation"])
    assert not {name for name in compiled if "step" in name}


def test_a_call_of_several_steps_is_compiled_and_taken_whole(tiny_run):
    with count_compilations() as compiled:
        found = dry_run(tiny_run(steps_per_call=4), Programs())
    assert found["steps"] == 4
    assert (compiled["several"], compiled["train_step"]) == (1, 0)
    assert found["batch"]["image"]["shape"] == [16, 8, 8, 3]


def test_a_source_that_is_not_there_yet_is_stood_in_for(one_setup_without_source):
    found = dry_run(one_setup_without_source, Programs())
    assert found["load"] == "pretrained, but its source is not there yet: scratch here"
    assert found["steps"] == 2


def test_a_loss_that_is_not_finite_is_told(tiny_run, monkeypatch):
    setup, programs = tiny_run(), Programs()
    made = initial_state(setup, setup.phases[0], start_variables(setup)[0], programs)

    def broken(*arguments) -> TrainState:
        return made.replace(params=jax.tree.map(lambda leaf: leaf * np.nan, made.params))

    monkeypatch.setattr("tlj.training.dry_run.initial_state", broken)
    assert dry_run(setup, programs)["training"]["rejected"] == [1, 2]
