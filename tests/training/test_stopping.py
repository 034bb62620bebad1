import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.training.stopping import Stopping, check_stopping

SETTINGS = {"metric": "validation_loss", "patience": 2, "min_delta": 0.0}


def over_after(stopping, *values):
    """How many validations end the run; None where they do not."""
    for count, value in enumerate(values, 1):
        stopping.observe({stopping.metric: value, "another": 0.0})
        if stopping.is_over:
            return count
    return None


def test_a_run_ends_after_so_many_validations_without_a_lower_loss():
    assert over_after(Stopping("validation_loss", 2, 0.0), 1.0, 0.9, 0.95, 0.9, 0.1) == 4
    assert over_after(Stopping("validation_loss", 2, 0.0), 1.0, 1.1, 0.9, 1.0, 0.8) is None


def test_an_accuracy_must_rise_and_a_loss_must_fall():
    rising = (0.1, 0.2, 0.3, 0.4)
    assert over_after(Stopping("validation_accuracy", 2, 0.0), *rising) is None
    assert over_after(Stopping("validation_loss", 2, 0.0), *rising) == 3
    assert over_after(Stopping("validation_accuracy", 2, 0.0), *rising[::-1]) == 3


def test_a_gain_of_min_delta_is_not_enough_and_a_larger_one_is():
    assert over_after(Stopping("validation_loss", 1, 0.25), 1.0, 0.75) == 2
    assert over_after(Stopping("validation_loss", 1, 0.25), 1.0, 0.74, 0.48) is None
    # Small gains add up: they are measured from the best value that counted.
    assert over_after(Stopping("validation_loss", 2, 0.25), 1.0, 0.8, 0.7, 0.6) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_a_value_that_is_none_or_not_finite_is_not_better(value):
    stopping = Stopping("validation_loss", 2, 0.0)
    assert over_after(stopping, value, 1.0, value, value) == 4
    assert stopping.best == 1.0


def test_a_new_phase_waits_anew_for_something_better_than_the_best_so_far():
    stopping = Stopping("validation_loss", 2, 0.0)
    assert over_after(stopping, 1.0, 1.1) is None
    stopping.begin_phase()
    assert over_after(stopping, 1.2, 1.05) == 2


@settings(derandomize=True, deadline=None)
@given(values=st.lists(st.floats(0, 1, width=32) | st.just(float("nan")), max_size=12), at=st.integers(0, 12))
def test_a_restart_changes_nothing(values, at):
    whole, parted = Stopping(**SETTINGS), Stopping.from_json(SETTINGS, {})
    for index, value in enumerate(values):
        if index == at:
            parted = Stopping.from_json(SETTINGS, json.loads(json.dumps(parted.to_json())))
        whole.observe({"validation_loss": value})
        parted.observe({"validation_loss": value})
    assert parted == whole


def config(metric, every=10):
    return {"early_stopping": {**SETTINGS, "metric": metric}, "evaluate": {"every": every}}


def test_a_metric_that_the_task_does_not_have_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="config.early_stopping.metric.*did you mean 'validation_accuracy'"):
        check_stopping(config("validation_acuracy"), "multiclass")
    with pytest.raises(InputError, match="validation_rmse"):
        check_stopping(config("validation_accuracy"), "regression")
    check_stopping(config("validation_rmse"), "regression")


def test_without_validations_before_the_end_early_stopping_is_refused():
    with pytest.raises(InputError, match=r"config\.evaluate\.every: early stopping waits for validation_loss"):
        check_stopping(config("validation_loss", every=0), "multiclass")


def test_a_run_without_early_stopping_needs_nothing():
    check_stopping(config("", every=0), "multiclass")
