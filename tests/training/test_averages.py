"""The moving average of what trains, in place of the parameters themselves."""

import numpy as np

from tlj.training.averages import averaged
from tlj.training.state import TrainState


def state(ema):
    params = {"head": {"kernel": np.float32(1.0)}, "backbone": {"kernel": np.float32(2.0)}}
    return TrainState(np.int32(0), params, {"mean": np.float32(3.0)}, (), {}, {}, ema, np.int32(0))


def test_what_trains_is_averaged_and_what_is_frozen_stays():
    ema = {"head": {"kernel": np.float32(9.0)}, "backbone": {"kernel": None}}
    found = averaged(state(ema), {"evaluate": {"ema": True}})
    assert found.params == {"head": {"kernel": 9.0}, "backbone": {"kernel": 2.0}}
    assert found.batch_stats == {"mean": 3.0}


def test_a_run_that_does_not_evaluate_its_average_is_as_it_is():
    before = state({"head": {"kernel": np.float32(9.0)}, "backbone": {"kernel": None}})
    assert averaged(before, {"evaluate": {"ema": False}}) is before
