"""Strategies of several phases: what trains when, and at what rate."""

import math

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.freezing.optimizer import hyperparameters, learning_rates
from tlj.freezing.phases import FROZEN, Plateau
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import parse_strategy

HEAD = {"head/kernel", "head/bias"}


@pytest.fixture
def phases(layout):
    return lambda text, steps=100, plateau=None: parse_strategy(text).phases(layout, Timing(steps, plateau))


def test_lp_ft_trains_the_head_then_everything(phases, layout):
    probe, everything = phases("lp_ft:40")
    assert (probe.start, everything.start) == (0, 40)
    assert set(probe.trained) == HEAD
    assert set(everything.trained) == set(layout.depths)
    # One group in both, so that the head keeps its moments.
    assert [group.name for group in probe.groups] == ["head"]
    assert [group.name for group in everything.groups] == ["backbone", "head"]


@pytest.mark.parametrize("text", ["lp_ft", "lp_ft:plateau"])
def test_lp_ft_waits_for_a_plateau_unless_it_is_told_a_step(phases, text):
    rule = Plateau(patience=2, min_delta=0.1)
    assert [phase.start for phase in phases(text, plateau=rule)] == [0, rule]


@pytest.mark.parametrize("text", ["gradual:20", "gradual:plateau"])
def test_gradual_unfreezes_one_depth_after_the_other_from_the_head_down(phases, layout, text):
    found, rule = phases(text, plateau=Plateau()), Plateau()
    assert [phase.start for phase in found] == ([0, 20, 40, 60, 80] if text == "gradual:20" else [0] + 4 * [rule])
    for index, phase in enumerate(found):
        assert set(phase.trained) == {path for path, depth in layout.depths.items() if depth >= 4 - index}
        assert {group.name for group in phase.groups} == {"head", *(f"depth{d}" for d in range(4 - index, 4))}


def test_gradual_that_does_not_reach_the_embedding_is_refused_with_the_nearest_that_does(refusal, phases):
    error = refusal(phases, "gradual:25")
    assert error.what == "gradual:25 reaches the embedding after 100 steps, but the run has 100"
    assert (error.where, error.nearest) == ("config.strategy", "gradual:24")
    assert error.do == "thaw sooner, or use more steps"
    assert len(phases(error.nearest)) == 5


def test_lp_ft_that_never_fine_tunes_is_refused(refusal, phases):
    error = refusal(phases, "lp_ft:100")
    assert error.what == "the last phase would start at step 100, but the run has 100 steps"
    assert (error.where, error.do) == ("config.strategy", "use more steps, or start the phases sooner")


@pytest.mark.parametrize(("text", "name"), [("lp_ft", "lp_ft"), ("gradual:plateau", "gradual")])
def test_a_plateau_of_what_is_never_validated_is_refused(refusal, phases, text, name):
    error = refusal(phases, text)
    assert error.what == f"{name} waits for a plateau of the validation loss, but nothing is validated during training"
    assert error.where == "config.evaluate.every"
    assert error.do == f"set it to a number of steps, or write {name}:STEPS"


# Five depths: t_i = .8, .85, .9, .95, 1, and r_i their cubes. In 8000 steps they end on whole steps.
STEPS = 8000
SHARES = {0: 0.512, 1: 0.614125, 2: 0.729, 3: 0.857375, 4: 1.0}
ENDS = {0: 4096, 1: 4913, 2: 5832, 3: 6859, 4: 8000}
NAMES = {0: "depth0", 1: "depth1", 2: "depth2", 3: "depth3", 4: "head"}


def test_freeze_out_freezes_one_depth_after_the_other_from_the_embedding_up(phases, layout):
    found = phases("freeze_out", steps=STEPS)
    assert [phase.start for phase in found] == [0, 4096, 4913, 5832, 6859]
    for index, phase in enumerate(found):
        assert set(phase.trained) == {path for path, depth in layout.depths.items() if depth >= index}
        assert [group.name for group in phase.groups] == [NAMES[depth] for depth in range(index, 5)]
        assert all(label == FROZEN for path, label in phase.labels if layout.depths[path] < index)


def test_a_group_of_freeze_out_is_the_same_in_every_phase_that_has_it(phases):
    found = phases("freeze_out", steps=STEPS)
    for phase in found:
        for group in phase.groups:
            assert group == found[0].group(group.name)


@pytest.mark.parametrize(("text", "scaled"), [("freeze_out", 1), ("freeze_out:0.8", 1), ("freeze_out:0.8:unscaled", 0)])
def test_rates_of_freeze_out_are_those_of_the_paper(layout, phases_of, text, scaled):
    (phase, *_) = phases_of(layout, text, steps=STEPS, learning_rate=0.1, schedule="linear", warmup_steps=500)
    steps = np.array([0, 1, 1000, 4000, 4912, 7999])
    rates = learning_rates(phase, hyperparameters(phase), steps)
    for depth, share in SHARES.items():
        peak = 0.1 / share if scaled else 0.1
        by_hand = [
            peak * 0.5 * (1 + math.cos(math.pi * step / (STEPS * share))) if step <= STEPS * share else 0.0
            for step in steps
        ]
        np.testing.assert_allclose(rates[NAMES[depth]], by_hand, rtol=1e-4, atol=1e-8)


def test_every_depth_of_scaled_freeze_out_covers_the_same_distance(layout, phases_of):
    (phase, *_) = phases_of(layout, "freeze_out", steps=STEPS, learning_rate=0.1)
    rates = learning_rates(phase, hyperparameters(phase), np.arange(STEPS))
    distances = [rates[NAMES[depth]].sum() for depth in SHARES]
    np.testing.assert_allclose(distances, distances[-1], rtol=1e-3)


def test_the_first_share_of_freeze_out_can_be_chosen(phases):
    starts = [phase.start for phase in phases("freeze_out:0.5", steps=1000)]
    # Cubes of .5, .625, .75 and .875, in whole steps, rounded up.
    assert starts == [0, 125, 245, 422, 670]


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_freeze_out_of_a_short_run_still_has_phases_that_follow_each_other(phases, layout, steps):
    found = phases("freeze_out", steps=steps)
    assert [phase.start for phase in found] == sorted({phase.start for phase in found})
    assert found[-1].start < steps
    assert set(found[0].trained) == set(layout.depths)


def test_plateaus_that_cannot_have_come_by_the_end_are_refused(layout):
    def start(text, steps, every):
        return parse_strategy(text).phases(layout, Timing(steps, Plateau(patience=3), every))

    # The first validation has nothing to be compared with, so the fourth is the earliest to end a phase.
    assert len(start("lp_ft", 41, 10)) == 2
    with pytest.raises(InputError, match="cannot have come before step 40, but the run has 40 steps") as caught:
        start("lp_ft", 40, 10)
    assert caught.value.where == "config.evaluate.every"
    assert len(start("gradual:plateau", 161, 10)) == 5
    with pytest.raises(InputError, match="gradual waits for 4 plateaus"):
        start("gradual:plateau", 160, 10)


@pytest.mark.parametrize("first", ["0.001", "1e-200"])
def test_freezing_the_embedding_before_its_first_step_is_refused(phases, first):
    assert phases("freeze_out:0.3")[0].start == 0
    with pytest.raises(InputError, match=f"freeze_out:{float(first)} would freeze the embedding before its first"):
        phases(f"freeze_out:{first}", steps=100)
