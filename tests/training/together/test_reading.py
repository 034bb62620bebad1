import types

import numpy as np
import pytest

from tlj.training.together import reading
from tlj.training.together.reading import Orders, calls_to


@pytest.mark.parametrize(
    ("step", "end", "per_call", "calls"),
    [(0, 3, 1, [(0, 1), (1, 1), (2, 1)]), (4, 9, 2, [(4, 2), (6, 2), (8, 1)]), (2, 3, 4, [(2, 1)]), (5, 5, 2, [])],
)
def test_calls_take_as_many_steps_as_fit(step, end, per_call, calls):
    assert calls_to(step, end, per_call) == calls


@pytest.fixture
def orders(tiny_run, monkeypatch):
    """Makes the orders of some seeds, and tells how often each was read from."""
    opened = []

    def note(setup, calls):
        opened.append(setup.config["seed"])
        return host_calls(setup, calls)

    host_calls = reading.host_calls
    monkeypatch.setattr(reading, "host_calls", note)

    def make(*seeds):
        asked = [types.SimpleNamespace(setup=tiny_run(seed=seed)) for seed in seeds]
        return Orders(asked, seeds, len(set(seeds)) == 1), asked, opened

    return make


def test_what_all_runs_read_is_read_and_put_there_once(orders):
    made, asked, opened = orders(0, 0, 0)
    assert made.shared
    ((part,),) = made.calls([(2, 1)])
    assert opened == [0]
    np.testing.assert_array_equal(part[2]["image"], asked[0].setup.batches[2]["image"])


@pytest.mark.parametrize("count", [1, 2])
def test_what_some_runs_read_is_read_once_and_stacked_by_their_places(orders, count):
    made, asked, opened = orders(0, 1, 0)
    assert not made.shared
    (((steps, one, batch),),) = made.calls([(3, count)])
    assert (steps, opened) == (count, [0, 1])
    expected = [[run.setup.batches[3 + i]["image"] for run in asked] for i in range(count)]
    np.testing.assert_array_equal(batch["image"], expected if count > 1 else expected[0])
    assert one["image"].shape == (*((count,) if count > 1 else ()), *expected[0][0].shape)
