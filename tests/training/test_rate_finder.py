import dataclasses
import hashlib
import json

import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.freezing.optimizer import hyperparameters, learning_rates
from tlj.freezing.schedules import SCHEDULES
from tlj.pretrained.runs import read_variables
from tlj.streams import generator, key
from tlj.training import rate_finder
from tlj.training.compiled import initial_state, step_program
from tlj.training.initial import start_variables
from tlj.training.loop import StoppedError, Surroundings, train_run
from tlj.training.programs import Program, Programs
from tlj.training.rate_curve import RateRange
from tlj.training.rate_finder import find_rate, finder_seed, range_test, rates_as_wanted
from tlj.training.run_files import read_metrics

SHORT = RateRange(1e-5, 1e-1, 20)


@pytest.fixture(scope="module")
def programs():
    return Programs()


def files_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lasting(rows):
    return [{name: value for name, value in row.items() if name not in ("timing", "cost")} for row in rows]


def stopped_after(steps, programs):
    """Surroundings in which a run is told to stop after so many steps."""
    taken = []

    def on_step(count):
        taken.append(count)
        if sum(taken) == steps:
            shared.stop.set()

    shared = Surroundings(programs, on_step=on_step)
    return shared


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_wanted_rate_results_whatever_the_schedule(schedule, tiny_run):
    phase = tiny_run(strategy="discriminative:0.5", init="scratch", optimizer={"schedule": schedule}).phases[0]
    for step, wanted in ((0, 1e-6), (7, 3e-3), (400, 2.0)):
        # By JAX, as in the step.
        rates = learning_rates(phase, rates_as_wanted(phase, wanted, step), jax.numpy.int32(step))
        for group in phase.groups:
            assert float(rates[group.name]) == pytest.approx(wanted * group.learning_rate_factor, rel=1e-5)


def test_what_is_no_learning_rate_stays_what_it_is(tiny_run):
    phase = tiny_run(strategy="discriminative:0.5", init="scratch").phases[0]
    wanted, usual = rates_as_wanted(phase, 0.1, 3), hyperparameters(phase)
    assert {name: group["weight_decay"] for name, group in wanted.items()} == {
        name: group["weight_decay"] for name, group in usual.items()
    }


@pytest.fixture
def called(monkeypatch):
    """What the compiled steps of a finder were called with, and the rates that they took."""
    calls, asked = [], rate_finder.step_program

    def step_program(*arguments):
        program, compiled = asked(*arguments)

        def call(state, batch, keys):
            state, metrics = program.call(state, batch, keys)
            calls.append(
                jax.device_get((metrics["learning_rate"], batch["label"], jax.random.key_data(keys["dropout"])))
            )
            return state, metrics

        return Program(call, program.flops, program.compile_s, program.peak_bytes), compiled

    monkeypatch.setattr(rate_finder, "step_program", step_program)
    return calls


def test_the_compiled_step_of_the_run_takes_the_rates_in_turn(tiny_run, called):
    setup, shared = tiny_run(strategy="discriminative:0.5", init="scratch", steps=3), Programs()
    curve = range_test(setup, SHORT, shared, unit=2.0)
    assert not step_program(setup, setup.phases[0], shared)[1], "the finder compiled a step that is not the run's"
    for group in setup.phases[0].groups:
        rates = [rates[group.name] for rates, _, _ in called]
        np.testing.assert_allclose(rates, 2 * curve.rates * group.learning_rate_factor, rtol=1e-5)


def test_the_loss_falls_at_rates_that_train_and_the_test_ends_where_it_diverges(tiny_run, programs):
    taken = []
    curve = range_test(tiny_run(), RateRange(1e-3, 1e3, 100), programs, on_step=taken.append)
    assert curve.has_diverged
    assert len(curve.losses) == len(taken) < 100
    assert curve.smoothed.min() < curve.losses[:10].mean() - 0.05
    assert 1e-3 < curve.suggestion()["steepest"] < 1


def test_the_order_and_the_noise_are_the_finders_own_and_the_examples_are_the_runs(tiny_run, programs, called):
    setup = tiny_run(steps=5)
    assert range_test(setup, SHORT, programs).losses.tolist() == range_test(setup, SHORT, programs).losses.tolist()
    own = dataclasses.replace(setup, config={**setup.config, "seed": finder_seed(0)})
    _, labels, noise = called[0]
    assert labels.tolist() == own.batches[0]["label"].tolist() != setup.batches[0]["label"].tolist()
    assert noise.tolist() == jax.random.key_data(key(finder_seed(0), "dropout")).tolist()
    assert noise.tolist() != jax.random.key_data(key(0, "dropout")).tolist()
    assert finder_seed(0) == int(generator(0, "rate_finder").integers(2**31)) != finder_seed(1)


def test_a_finder_begins_where_the_run_begins(tiny_run, programs, monkeypatch):
    setup, begun = tiny_run(steps=5), []
    monkeypatch.setattr(rate_finder, "initial_state", lambda *given: begun.append(given[2]) or initial_state(*given))
    range_test(setup, SHORT, programs)
    for ours, theirs in zip(*(jax.tree.leaves(tree) for tree in (begun[0], start_variables(setup)[0])), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_half_finished_run_goes_on_bit_equal_after_a_finder_looked_at_its_config(
    tiny_config, tiny_run, programs, tmp_path
):
    changes = {"checkpoint": {"every": 4}, "log": {"every": 4}, "evaluate": {"every": 8}, "steps": 16}
    whole = train_run(tiny_run(**changes), tmp_path / "whole", "hash", Surroundings(programs))
    with pytest.raises(StoppedError):
        train_run(tiny_run(**changes), tmp_path / "cut", "hash", stopped_after(10, programs))
    before = files_of(tmp_path / "cut")
    config = tiny_config(tmp_path / "cut", strategy="scratch", label_budget=40, **changes)
    config.model.source = ""
    found = find_rate(config, SHORT)
    assert files_of(tmp_path / "cut") == before
    assert len(found["losses"]) == 20
    resumed = train_run(tiny_run(**changes), tmp_path / "cut", "hash", Surroundings(programs))
    assert lasting([resumed]) == lasting([whole])
    for ours, theirs in zip(*(jax.tree.leaves(read_variables(tmp_path / n)[0]) for n in ("whole", "cut")), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = [lasting(read_metrics(tmp_path / name / "metrics.jsonl")) for name in ("whole", "cut")]
    assert rows[0] == rows[1]


def test_what_is_found_says_which_key_it_is_meant_for(tiny_config, tmp_path, monkeypatch):
    units = []

    def range_test(setup, rate_range, unit, on_step):
        units.append(unit)
        return rate_finder.RateCurve(rate_range, rate_range.rates(), np.ones(rate_range.steps))

    monkeypatch.setattr(rate_finder, "range_test", range_test)
    config = tiny_config(
        tmp_path / "nowhere", strategy="discriminative:0.5", init="scratch", optimizer={"reference_batch": 4}
    )
    found = find_rate(config, SHORT)
    # A batch of 16 with a rate that is meant for 4.
    assert units == [4.0]
    assert found["groups"]["head"] == 1.0
    assert found["groups"]["depth0"] < found["groups"]["depth1"] < 1.0
    assert json.loads(json.dumps(found)) == found
    assert not (tmp_path / "nowhere").exists()


def test_a_source_that_is_not_trained_yet_is_refused_and_scratch_needs_none(tiny_config, tmp_path, monkeypatch):
    config = tiny_config(tmp_path, strategy="full")
    with pytest.raises(InputError, match="needs a model source"):
        find_rate(config, SHORT)
    monkeypatch.setattr(rate_finder, "range_test", lambda setup, *_, **__: pytest.skip("it was set up"))
    with pytest.raises(pytest.skip.Exception):
        find_rate(tiny_config(tmp_path, strategy="scratch"), SHORT)
