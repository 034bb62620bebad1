"""Learning-rate schedules at points computed by hand."""

import math

import jax
import numpy as np
import optax
import pytest

from tlj.freezing.schedules import SCHEDULES, warmup_in_steps

LINEAR_RISE = ("constant", "linear", "cosine", "rsqrt")


def factor(name: str, step: int, steps: float = 110, warmup_steps: float = 10) -> float:
    return float(SCHEDULES[name](step, np.float32(steps), np.float32(warmup_steps)))


@pytest.mark.parametrize("name", LINEAR_RISE)
@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (4, 0.5), (9, 1.0)])
def test_warm_up_is_linear_and_its_first_step_already_moves(name, step, expected):
    assert factor(name, step) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("constant", 10, 1.0),
        ("constant", 60, 1.0),
        ("constant", 109, 1.0),
        ("linear", 10, 1.0),
        ("linear", 35, 0.75),
        ("linear", 60, 0.5),
        ("linear", 109, 0.01),
        ("linear", 110, 0.0),
        ("cosine", 10, 1.0),
        ("cosine", 35, 0.8535533905932737),
        ("cosine", 60, 0.5),
        ("cosine", 85, 0.14644660940672624),
        ("cosine", 110, 0.0),
        # sqrt(10 / 11), sqrt(10 / 40), sqrt(10 / 1000): the length of the run does not enter.
        ("rsqrt", 10, 0.9534625892455924),
        ("rsqrt", 39, 0.5),
        ("rsqrt", 999, 0.1),
        # The cut is at 11 steps: a rise from 1/32 by 31/32 * 1/11 a step, then a fall to 1/32 over 99.
        ("slanted_triangular", 0, 0.03125),
        ("slanted_triangular", 1, 0.11931818181818182),
        ("slanted_triangular", 11, 1.0),
        ("slanted_triangular", 44, 0.6770833333333334),
        ("slanted_triangular", 110, 0.03125),
    ],
)
def test_each_schedule_has_its_shape(name, step, expected):
    assert factor(name, step) == pytest.approx(expected, abs=1e-6)


def ulmfit(step: int, steps: int, cut_fraction: float = 0.1, ratio: float = 32) -> float:
    """Howard & Ruder 2018, section 3.2, as it stands there."""
    cut = math.floor(steps * cut_fraction)
    share = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / cut_fraction - 1))
    return (1 + share * (ratio - 1)) / ratio


@pytest.mark.parametrize("steps", [10, 30, 100, 1000, 1230])
def test_the_slanted_triangle_is_that_of_ulmfit_at_every_step(steps):
    every = np.arange(steps + 1)
    found = SCHEDULES["slanted_triangular"](every, np.float32(steps), np.float32(0))
    np.testing.assert_allclose(found, [ulmfit(step, steps) for step in every], atol=1e-6)


@pytest.mark.parametrize("steps", [1, 5, 37, 999])
def test_the_slanted_triangle_of_any_length_rises_then_falls_between_a_32nd_and_the_peak(steps):
    rates = SCHEDULES["slanted_triangular"](np.arange(2 * steps + 2), np.float32(steps), np.float32(0))
    peak = int(rates.argmax())
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) <= 0)
    assert (rates.min(), rates.max()) == (pytest.approx(1 / 32), pytest.approx(1.0))


def test_the_rise_of_the_slanted_triangle_is_its_only_warm_up():
    assert [factor("slanted_triangular", step, warmup_steps=50) for step in range(9)] == [
        factor("slanted_triangular", step, warmup_steps=0) for step in range(9)
    ]


@pytest.mark.parametrize("name", ["linear", "cosine", "slanted_triangular"])
def test_the_last_step_still_moves_and_what_comes_after_has_the_lowest_rate(name):
    lowest = 1 / 32 if name == "slanted_triangular" else 0.0
    assert factor(name, 109) > lowest
    assert factor(name, 500) == pytest.approx(lowest, abs=1e-6)


@pytest.mark.parametrize("name", LINEAR_RISE)
def test_without_a_warm_up_the_first_step_has_the_peak_rate(name):
    assert factor(name, 0, warmup_steps=0) == 1.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_that_is_all_warm_up_stays_finite(name):
    values = [factor(name, step, steps=10, warmup_steps=10) for step in range(12)]
    assert np.all(np.isfinite(values))
    assert max(values) == 1.0
    assert name not in LINEAR_RISE or values[9] == 1.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_table_of_all_steps_in_numpy_is_what_the_steps_have_one_by_one(name):
    table = SCHEDULES[name](np.arange(120), np.float32(110), np.float32(10))
    assert isinstance(table, np.ndarray)
    np.testing.assert_allclose(table, [factor(name, step) for step in range(120)], atol=1e-6)


def test_cosine_is_that_of_optax():
    theirs = optax.cosine_decay_schedule(1.0, 100)
    for step in (0, 13, 57, 99):
        assert factor("cosine", step + 10) == pytest.approx(float(theirs(step)), abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_one_compiled_schedule_serves_runs_of_every_length(name):
    compiled = jax.jit(SCHEDULES[name])
    for steps, warmup_steps in ((110, 10), (20, 0), (7, 3)):
        for step in (0, 3, 6):
            result = compiled(step, np.float32(steps), np.float32(warmup_steps))
            assert float(result) == pytest.approx(factor(name, step, steps, warmup_steps), abs=1e-6)
    assert compiled._cache_size() == 1


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("10 steps", 10),
        ("0 steps", 0),
        ("1 epoch", 7),  # 100 examples in batches of 16: 6.25 steps, rounded up
        ("0.5 epochs", 4),
        ("2 epochs", 13),
        ("0 epochs", 0),
        ("160 examples", 10),
        ("161 examples", 11),
        ("1 example", 1),
        ("0.16 epochs", 1),  # 16 examples, and not one more for a rounding error
    ],
)
def test_a_warm_up_in_steps_epochs_or_examples_is_a_number_of_steps_rounded_up(text, steps):
    assert warmup_in_steps(text, batch_size=16, examples=100) == steps
