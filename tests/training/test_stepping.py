"""What a stretch of steps needs."""

import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tlj.data.ahead import Ahead
from tlj.training import stepping
from tlj.training.clock import Clock
from tlj.training.dues import Dues
from tlj.training.programs import Program, Programs
from tlj.training.stepping import INPUT_WAIT, StepPrograms, Window, calls_from, host_calls, take_call


@pytest.fixture
def setup(tiny_run):
    return tiny_run(steps=6)


def dues_of(setup):
    return Dues.of(setup.config, setup.phases)


def test_calls_come_from_the_step_that_is_asked_for_and_lie_on_the_devices(setup):
    with calls_from(setup, 4, dues_of(setup)) as calls:
        found = list(calls)
    assert [[count for count, _ in call] for call in found] == [[1], [1]]
    for call, step in zip(found, (4, 5), strict=True):
        ((_, batch),) = call
        assert isinstance(batch["image"], jax.Array)
        np.testing.assert_array_equal(batch["image"], setup.batches[step]["image"])


def test_batches_of_one_call_are_stacked(tiny_run):
    setup = tiny_run(steps=6, steps_per_call=4)
    with calls_from(setup, 0, dues_of(setup)) as calls:
        found = list(calls)
    assert [[count for count, _ in call] for call in found] == [[4], [1], [1]]
    np.testing.assert_array_equal(
        found[0][0][1]["image"], np.stack([setup.batches[step]["image"] for step in range(4)])
    )
    np.testing.assert_array_equal(found[1][0][1]["image"], setup.batches[4]["image"])


def test_batches_of_several_shapes_are_a_call_of_single_steps(monkeypatch, tiny_run):
    setup = tiny_run(steps=4, steps_per_call=2)
    lengths = (3, 5, 5, 5)
    setup.__dict__["batches"] = [{"input_ids": np.full((2, length), step)} for step, length in enumerate(lengths)]
    with calls_from(setup, 0, dues_of(setup)) as calls:
        found = list(calls)
    shapes = [[(count, batch["input_ids"].shape) for count, batch in call] for call in found]
    assert shapes == [[(1, (2, 3)), (1, (2, 5))], [(2, (2, 2, 5))]]


@pytest.mark.parametrize(("in_memory", "expected"), [(True, (0, False)), (False, (3, True))])
def test_what_is_in_memory_is_neither_read_ahead_nor_sent_to_workers(monkeypatch, tiny_run, in_memory, expected):
    setup, asked = tiny_run(data={"workers": 3}), []
    monkeypatch.setattr(type(setup.training_reader), "in_memory", in_memory)

    def note(*arguments, workers, threaded):
        asked.append((workers, threaded))
        return Ahead(*arguments, threaded=False)

    monkeypatch.setattr(stepping, "Ahead", note)
    with calls_from(setup, 0, dues_of(setup)):
        pass
    assert asked == [expected]


def test_each_shape_and_count_is_compiled_once_and_its_seconds_are_no_part_of_a_window(monkeypatch, setup):
    shapes, slow = [], 0.2

    def step_program(setup, phase, programs, batch, count):
        time.sleep(slow)
        shapes.append((count, batch["ids"].shape))
        return Program(lambda: None, 1.0, slow, None), len(shapes) > 1

    monkeypatch.setattr(stepping, "step_program", step_program)
    clock = Clock()
    programs = StepPrograms(setup, setup.phases[0], 3, Programs(), clock)
    for count, length in ((1, 8), (1, 16), (1, 8), (2, 16), (1, 16), (2, 16)):
        programs.of({"ids": np.zeros((2, length))}, count, {})
    assert shapes == [(1, (2, 8)), (1, (2, 16)), (2, (2, 16))]
    # The first was another run's.
    assert clock.compile_s == {3: 2 * slow}
    assert clock.charged["compile"] >= 3 * slow
    assert clock.end(1) < slow


def metrics(loss, *, accepted=True, rate=0.5):
    return {"loss": jnp.float32(loss), "accepted": jnp.bool_(accepted), "learning_rate": {"head": jnp.float32(rate)}}


def test_a_window_tells_means_and_the_share_of_its_time_that_went_into_waiting():
    clock = Clock()
    clock.charged[INPUT_WAIT] = 100.0  # of windows before
    window = Window(clock, 1)
    for loss in (1.0, 3.0):
        with clock.charge(INPUT_WAIT):
            time.sleep(0.05)
        time.sleep(0.05)
        window.add(metrics(loss, rate=loss), 1)
    first, rejected = window.end(7, {})
    assert rejected == []
    window.add(metrics(5.0), 1)
    time.sleep(0.01)
    second, _ = window.end(8, {})
    assert (first["step"], first["phase"], first["loss"], first["learning_rate"]) == (7, 1, 2.0, {"head": 3.0})
    assert 0.2 < first["timing"]["input_wait_share"] < 0.8
    assert second["loss"] == 5.0
    assert second["timing"]["input_wait_share"] < 0.1


def test_a_call_of_several_steps_counts_as_so_many():
    window = Window(Clock(), 0)
    window.add(metrics(1.0), 1)
    window.add(jax.tree.map(lambda *values: jnp.stack(values), *(metrics(loss, rate=loss) for loss in (2.0, 6.0))), 2)
    row, _ = window.end(3, {})
    assert (row["loss"], row["learning_rate"]) == (3.0, {"head": 6.0})


def test_a_window_of_steps_taken_with_other_runs_says_with_how_many():
    clock = Clock()
    window = Window(clock, 0)
    rates = {"head": np.array([0.1, 0.2], np.float32)}
    window.add_share({"loss": np.array([2.0, 4.0]), "accepted": np.ones(2, bool), "learning_rate": rates}, 2, runs=5)
    row, _ = window.end(2, ())
    assert (row["loss"], row["timing"]["batched_with"], clock.batched_with) == (3.0, 5, 5)
    assert row["learning_rate"] == {"head": pytest.approx(0.2)}
    window.add(metrics(1.0), 1)
    assert "batched_with" not in window.end(3, {})[0]["timing"]


def test_batches_for_several_runs_stay_on_the_host(setup):
    with host_calls(setup, [(4, 1)]) as calls:
        (((count, batch),),) = calls
    assert (count, type(batch["image"])) == (1, np.ndarray)
    np.testing.assert_array_equal(batch["image"], setup.batches[4]["image"])


def test_steps_that_were_not_accepted_are_named_and_in_no_mean():
    window = Window(Clock(), 0)
    for loss, accepted in ((1.0, True), (np.nan, False), (3.0, True), (np.inf, False)):
        window.add(metrics(loss, accepted=accepted), 1)
    row, rejected = window.end(14, {})
    assert (row["loss"], row["skipped"]) == (2.0, 2)
    assert rejected == [12, 14]
    window.add(metrics(np.nan, accepted=False), 1)
    row, rejected = window.end(15, {})
    assert np.isnan(row["loss"])
    assert rejected == [15]


def test_a_window_that_was_cut_ends_as_if_it_had_not_been():
    steps = [(1.1, True), (np.nan, False), (3.3, True), (np.inf, False), (0.7, True)]
    whole, first = Window(Clock(), 2), Window(Clock(), 2)
    for place, (loss, accepted) in enumerate(steps):
        whole.add(metrics(loss, accepted=accepted, rate=place), 1)
    for place, (loss, accepted) in enumerate(steps[:3]):
        first.add(metrics(loss, accepted=accepted, rate=place), 1)
    cut, rejected = first.cut(13, {})
    assert rejected == [12]
    second = Window(Clock(), 2, json.loads(json.dumps(cut)))
    second.add(metrics(*steps[3][:1], accepted=False, rate=3), 1)
    # Cut once more.
    cut, rejected = second.cut(14, {})
    assert rejected == [12, 14]
    third = Window(Clock(), 2, json.loads(json.dumps(cut)))
    third.add(metrics(0.7, rate=4), 1)
    (expected, which), (found, same) = whole.end(15, {}), third.end(15, {})
    assert {**found, "timing": None} == {**expected, "timing": None}
    assert which == same == [12, 14]
    third.add(metrics(5.0), 1)
    assert third.end(16, {})[0]["loss"] == 5.0


def test_the_host_does_not_run_away_from_the_device(monkeypatch):
    waited = []
    monkeypatch.setattr(stepping.jax, "block_until_ready", waited.append)
    window = Window(Clock(), 0)
    for loss in range(stepping.IN_FLIGHT + 3):
        window.add(metrics(loss), 1)
    assert [float(loss) for loss in waited] == [0.0, 1.0, 2.0]


def test_taking_a_call_moves_the_state_and_tells_of_its_steps(setup):
    class Programs:
        def of(self, batch, count, state):
            return Program(lambda state, batch, rng: (state + batch, metrics(batch)), 7.0 * count, 0.0, None)

    told, window = [], Window(Clock(), 0)
    state = take_call([(1, 10), (1, 5)], 100, {}, Programs(), window, lambda count, flops: told.append((count, flops)))
    assert state == 115
    assert told == [(1, 7.0), (1, 7.0)]
    assert window.end(2, {})[0]["loss"] == 7.5
