"""Learning-rate schedules at points computed by hand."""

import jax
import numpy as np
import optax
import pytest

from tlj.freezing.schedules import SCHEDULES


def factor(name: str, step: int, steps: float = 110, warmup_steps: float = 10) -> float:
    return float(SCHEDULES[name](step, np.float32(steps), np.float32(warmup_steps)))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0)])
def test_warm_up_is_linear_and_its_first_step_already_moves(name, step, expected):
    assert factor(name, step) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("constant", 60, 1.0),
        ("constant", 109, 1.0),
        ("linear", 35, 0.75),
        ("linear", 60, 0.5),
        ("linear", 109, 0.01),
        ("linear", 110, 0.0),
        ("cosine", 35, 0.8535533905932737),
        ("cosine", 60, 0.5),
        ("cosine", 85, 0.14644660940672624),
        ("cosine", 110, 0.0),
    ],
)
def test_after_the_warm_up_each_schedule_has_its_shape(name, step, expected):
    assert factor(name, step) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_last_step_still_moves_and_what_comes_after_does_not(name):
    assert factor(name, 109) > 0
    assert factor(name, 500) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_a_warm_up_the_first_step_has_the_peak_rate(name):
    assert factor(name, 0, warmup_steps=0) == 1.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_that_is_all_warm_up_stays_finite(name):
    values = [factor(name, step, steps=10, warmup_steps=10) for step in range(12)]
    assert np.all(np.isfinite(values))
    assert values[9] == 1.0


def test_cosine_is_that_of_optax():
    theirs = optax.cosine_decay_schedule(1.0, 100)
    for step in (0, 13, 57, 99):
        assert factor("cosine", step + 10) == pytest.approx(float(theirs(step)), abs=1e-6)


def test_one_compiled_schedule_serves_runs_of_every_length():
    compiled = jax.jit(SCHEDULES["cosine"])
    for steps, warmup_steps in ((110, 10), (20, 0), (7, 3)):
        for step in (0, 3, 6):
            result = compiled(step, np.float32(steps), np.float32(warmup_steps))
            assert float(result) == pytest.approx(factor("cosine", step, steps, warmup_steps), abs=1e-6)
    assert compiled._cache_size() == 1
