"""What a stretch of steps needs."""

import time

import jax
import numpy as np
import pytest

from tlj.data.ahead import Ahead
from tlj.training import stepping
from tlj.training.clock import Clock
from tlj.training.programs import Program, Programs
from tlj.training.run_files import MetricsLog, read_metrics
from tlj.training.stepping import INPUT_WAIT, StepPrograms, Window, batches_from


@pytest.fixture
def setup(tiny_run):
    return tiny_run(steps=6)


def test_batches_come_from_the_step_that_is_asked_for_and_lie_on_the_devices(setup):
    with batches_from(setup, 4) as batches:
        found = list(batches)
    assert len(found) == 2
    for batch, step in zip(found, (4, 5), strict=True):
        assert isinstance(batch["image"], jax.Array)
        np.testing.assert_array_equal(batch["image"], setup.batches[step]["image"])


@pytest.mark.parametrize(("in_memory", "expected"), [(True, (0, False)), (False, (3, True))])
def test_what_is_in_memory_is_neither_read_ahead_nor_sent_to_workers(monkeypatch, tiny_run, in_memory, expected):
    setup, asked = tiny_run(data={"workers": 3}), []
    monkeypatch.setattr(type(setup.training_reader), "in_memory", in_memory)

    def note(*arguments, workers, threaded):
        asked.append((workers, threaded))
        return Ahead(*arguments, threaded=False)

    monkeypatch.setattr(stepping, "Ahead", note)
    with batches_from(setup, 0):
        pass
    assert asked == [expected]


def test_each_shape_is_compiled_once_and_its_seconds_are_no_part_of_a_window(monkeypatch, setup):
    shapes, slow = [], 0.2

    def step_program(setup, phase, programs, batch):
        time.sleep(slow)
        shapes.append(batch["ids"].shape)
        return Program(lambda: None, 1.0, slow, None), len(shapes) > 1

    monkeypatch.setattr(stepping, "step_program", step_program)
    clock = Clock()
    programs = StepPrograms(setup, setup.phases[0], Programs(), clock)
    for length in (8, 16, 8, 16):
        programs.of({"ids": np.zeros((2, length))}, {})
    assert shapes == [(2, 8), (2, 16)]
    # The first was another run's.
    assert programs.compile_s == slow
    assert clock.charged["compile"] >= 2 * slow
    assert clock.end(1) < slow


def test_a_window_tells_means_and_the_share_of_its_time_that_went_into_waiting(tmp_path):
    clock, log = Clock(), MetricsLog(tmp_path / "metrics.jsonl", 0)
    clock.charged[INPUT_WAIT] = 100.0  # of windows before
    window = Window(clock, 1)
    for loss in (1.0, 3.0):
        with clock.charge(INPUT_WAIT):
            time.sleep(0.05)
        time.sleep(0.05)
        window.add({"loss": np.float32(loss), "learning_rate": {"head": np.float32(loss)}})
    window.end(7, {}, log)
    window.add({"loss": np.float32(5), "learning_rate": {"head": np.float32(5)}})
    time.sleep(0.01)
    window.end(8, {}, log)
    first, second = read_metrics(tmp_path / "metrics.jsonl")
    assert (first["step"], first["phase"], first["loss"], first["learning_rate"]) == (7, 1, 2.0, {"head": 3.0})
    assert 0.2 < first["timing"]["input_wait_share"] < 0.8
    assert second["loss"] == 5.0
    assert second["timing"]["input_wait_share"] < 0.1
