import dataclasses

import pytest

from tlj.freezing.boundary import boundaries
from tlj.freezing.phases import Layout
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import parse_strategy

LAYOUT = Layout(
    {
        "backbone/embedding/kernel": 0,
        **{
            f"backbone/block{i}/{name}": i + 1
            for i in range(4)
            for name in ("kernel", "bias", "norm/scale", "norm/bias")
        },
        "backbone/norm/scale": 4,
        "backbone/norm/bias": 4,
        "head/kernel": 5,
        "head/bias": 5,
    },
    blocks=4,
)


def found(strategy, layout=LAYOUT):
    return boundaries(parse_strategy(strategy).phases(layout, Timing(100, None, 0)), layout)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("linear_probe", (4,)),
        ("last_blocks:1", (3,)),
        ("last_blocks:3", (1,)),
        # The embedding alone is not worth keeping.
        ("last_blocks:4", (None,)),
        ("full", (None,)),
        ("bias_only", (None,)),
        ("norm_only", (None,)),
        ("first_blocks:1", (None,)),
        ("lp_ft:10", (4, None)),
        ("gradual:10", (4, 3, 2, 1, None, None)),
    ],
)
def test_the_boundary_is_below_all_that_trains(strategy, expected):
    assert found(strategy) == expected


def test_what_trained_once_is_not_as_it_was_though_it_is_frozen_now():
    assert set(found("freeze_out:0.5")) == {None}


def test_statistics_that_move_are_above_the_boundary():
    norms = ("backbone/block1/norm", "backbone/block3/norm")
    layout = dataclasses.replace(LAYOUT, statistics=norms)
    (phase,) = parse_strategy("linear_probe").phases(layout, Timing(100, None, 0))
    assert boundaries([phase], layout) == (4,)
    assert boundaries([dataclasses.replace(phase, adapting=norms[1:])], layout) == (3,)
    assert boundaries([dataclasses.replace(phase, adapting=norms)], layout) == (1,)
