"""Discriminative rates: the factor of each depth as the papers have it."""

import math

import pytest

from tlj.freezing.phases import Layout
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import parse_strategy
from tlj.freezing.strategies.rates import PRESETS, parse_decay

TWELVE = Layout(
    {"backbone/embedding/kernel": 0, **{f"backbone/block{i}/kernel": i + 1 for i in range(12)}, "head/kernel": 13},
    blocks=12,
)


def factors(text: str, layout: Layout = TWELVE) -> dict[str, float]:
    """The learning-rate factor of each parameter in the first phase."""
    phase = parse_strategy(text).phases(layout, Timing(steps=1000))[0]
    return {path: phase.group(label).learning_rate_factor for path, label in phase.labels}


def test_electra_multiplies_by_eight_tenths_per_layer_with_the_head_two_above_the_last():
    found = factors("discriminative:electra")
    assert found["backbone/embedding/kernel"] == pytest.approx(0.8**14)
    for i in range(12):
        assert found[f"backbone/block{i}/kernel"] == pytest.approx(0.8 ** (14 - (i + 1)))
    assert found["head/kernel"] == 1.0
    assert found["backbone/embedding/kernel"] == pytest.approx(0.04398046511104)


def test_beit_multiplies_by_065_per_layer_with_the_head_one_above_the_last():
    found = factors("discriminative:beit")
    assert found["head/kernel"] == 1.0
    assert found["backbone/block11/kernel"] == pytest.approx(0.65)
    assert found["backbone/block0/kernel"] == pytest.approx(0.65**12)
    assert found["backbone/embedding/kernel"] == pytest.approx(0.65**13)


@pytest.mark.parametrize(("preset", "lowest"), [("electra_large", 0.9**14), ("beit_large", 0.75**13)])
def test_large_presets_decay_less(preset, lowest):
    assert factors(f"discriminative:{preset}")["backbone/embedding/kernel"] == pytest.approx(lowest)


@pytest.mark.parametrize("text", ["discriminative", "discriminative:ulmfit", "full+discriminative"])
def test_ulmfit_divides_by_two_point_six_per_layer(text):
    found = factors(text)
    assert found["head/kernel"] == 1.0
    assert found["backbone/block11/kernel"] == pytest.approx(1 / 2.6)
    assert found["backbone/embedding/kernel"] == pytest.approx(2.6**-13)


def test_a_factor_of_the_users_own_counts_the_head_one_above_the_last_block():
    assert factors("discriminative:0.5")["backbone/block10/kernel"] == 0.25
    assert set(factors("discriminative:1").values()) == {1.0}


def test_groups_stand_from_the_embedding_to_the_head():
    (phase,) = parse_strategy("discriminative").phases(TWELVE, Timing(steps=10))
    assert [group.name for group in phase.groups] == [*(f"depth{depth}" for depth in range(13)), "head"]
    rates = [group.learning_rate_factor for group in phase.groups]
    assert rates == sorted(rates)


def test_what_a_strategy_freezes_stays_frozen_and_the_rest_decays(layout):
    (phase,) = parse_strategy("last_blocks:2+discriminative:0.5").phases(layout, Timing(steps=10))
    (plain,) = parse_strategy("last_blocks:2").phases(layout, Timing(steps=10))
    assert phase.trained == plain.trained
    assert {group.name: group.learning_rate_factor for group in phase.groups} == {
        "depth2": 0.25, "depth3": 0.5, "head": 1.0,
    }  # fmt: skip


def test_kinds_of_parameters_that_a_strategy_tells_apart_stay_apart(layout):
    (phase,) = parse_strategy("copy_train:1+discriminative:0.5").phases(layout, Timing(steps=10))
    assert {group.name: group.learning_rate_factor for group in phase.groups} == {
        "copied_depth0": 0.0625, "copied_depth1": 0.125, "reset_depth2": 0.25, "reset_depth3": 0.5, "head": 1.0,
    }  # fmt: skip


def test_a_decay_comes_on_top_of_the_strategys_own_factor_and_keeps_its_schedule(layout):
    plain = parse_strategy("freeze_out").phases(layout, Timing(steps=1000))
    decayed = parse_strategy("freeze_out+discriminative:0.5").phases(layout, Timing(steps=1000))
    assert [phase.start for phase in decayed] == [phase.start for phase in plain]
    for ours, theirs in zip(decayed[0].groups, plain[0].groups, strict=True):
        depth = 4 if ours.name == "head" else int(ours.name.removeprefix("depth"))
        assert ours.learning_rate_factor == pytest.approx(theirs.learning_rate_factor * 0.5 ** (4 - depth))
        assert (ours.schedule, ours.schedule_steps) == ("cosine", theirs.schedule_steps)


def test_every_phase_of_a_gradual_unfreezing_has_the_rates_of_its_depths(layout):
    phases = parse_strategy("gradual:10+discriminative").phases(layout, Timing(steps=100))
    assert [len(phase.groups) for phase in phases] == [1, 2, 3, 4, 5]
    for phase in phases:
        for group in phase.groups:
            assert group == phases[-1].group(group.name)


def test_a_preset_or_a_factor_is_read():
    assert parse_decay("beit") is PRESETS["beit"]
    assert parse_decay("0.75").factor == 0.75
    assert math.isclose(PRESETS["ulmfit"].factor * 2.6, 1.0)


@pytest.mark.parametrize("text", ["0", "1.5", "-0.5", "nan", "inf", "bert", ""])
def test_what_is_neither_is_refused_with_an_example(refusal, text):
    error = refusal(parse_strategy, f"discriminative:{text}")
    assert error.what.startswith(f"'discriminative:{text}': discriminative takes perhaps a factor up to 1, or ulmfit, ")
    assert (error.where, error.do) == ("config.strategy", "write 'discriminative:0.75'")
