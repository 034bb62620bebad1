import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlj.errors import InputError
from tlj.experiments.search_space import check_ends, settings, widened

RATE, DECAY, NAME = "optimizer.learning_rate", "optimizer.weight_decay", "optimizer.name"


@given(st.floats(1e-6, 1e-2), st.floats(1.5, 1e4), st.integers(1, 6))
def test_random_settings_lie_in_their_range_and_trial_i_is_at_the_same_place_of_any_range(low, factor, number):
    found = settings("random", {RATE: f"{low} to {low * factor} log"}, number)
    others = settings("random", {RATE: "1e-3 to 1e-1 log", DECAY: "0 to 1 linear"}, number)
    assert len(found) == len(others) == number
    for own, other in zip(found, others, strict=True):
        place = math.log(own[RATE] / low) / math.log(factor)
        assert -1e-2 / math.log(factor) <= place <= 1 + 1e-2 / math.log(factor)
        assert place == pytest.approx(math.log(other[RATE] / 1e-3) / math.log(100), abs=2e-3 + 2e-3 / math.log(factor))


def test_settings_of_a_longer_search_begin_with_those_of_a_shorter():
    space = {RATE: "1e-4 to 1e-1 log", NAME: ["sgd", "adamw", "lion"]}
    assert settings("random", space, 9)[:4] == settings("random", space, 4)
    assert {s[NAME] for s in settings("random", space, 30)} == {"sgd", "adamw", "lion"}


def test_an_extension_draws_anew():
    space = {RATE: "1e-4 to 1e-1 log"}
    assert settings("random", space, 3, 1) != settings("random", space, 3)


def test_a_grid_has_the_ends_of_every_range_and_every_value_of_a_list():
    found = settings("grid", {RATE: "1e-4 to 1e-2 log", NAME: ["sgd", "adamw"]}, 7)
    assert [tuple(s.values()) for s in found] == [
        (rate, name) if list(found[0]) == [RATE, NAME] else (name, rate)
        for rate in (1e-4, 1e-3, 1e-2)
        for name in ("sgd", "adamw")
    ]


def test_a_grid_without_room_is_refused_with_what_it_needs():
    with pytest.raises(InputError, match="has no room in 7 trials; allow at least 8"):
        settings("grid", {RATE: "1e-4 to 1e-2 log", DECAY: "0 to 1 linear", NAME: ["sgd", "adamw"]}, 7)


def test_whole_numbers_stay_whole():
    assert all(
        isinstance(s["data.augment.shift"], int) for s in settings("random", {"data.augment.shift": "1 to 9"}, 5)
    )


@pytest.mark.parametrize(("spec", "bad"), [("-1 to 1 linear", "-1.0"), ([1e-3, 0.0], "0.0")])
def test_ends_that_the_key_does_not_take_are_refused(spec, bad):
    with pytest.raises(InputError, match=f"{bad} is not a number above 0"):
        check_ends(RATE, spec)


def test_a_range_at_an_edge_is_continued_half_as_wide_beyond_it():
    rounds = [{RATE: (1e-4, 1e-2, "log")}]
    low, _, high, scale = widened(rounds, {RATE: "high"})[0][RATE].split()
    assert (float(low), float(high), scale) == (pytest.approx(1e-2), pytest.approx(1e-1), "log")
    low, _, high, _ = widened(rounds, {RATE: "low"})[0][RATE].split()
    assert (float(low), float(high)) == (pytest.approx(1e-5), pytest.approx(1e-4))


def test_a_second_extension_goes_on_from_all_that_was_searched():
    rounds = [{RATE: (1e-4, 1e-2, "log")}, {RATE: (1e-2, 1e-1, "log")}]
    assert float(widened(rounds, {RATE: "high"})[0][RATE].split()[0]) == pytest.approx(1e-1)


def test_a_key_without_an_edge_is_drawn_from_its_whole_range_again():
    space, grown = widened([{RATE: (1e-4, 1e-2, "log"), NAME: ("sgd", "adamw")}], {NAME: "high"})
    assert not grown
    assert space[NAME] == ["sgd", "adamw"]
    assert [float(part) for part in space[RATE].split()[::2][:2]] == [1e-4, 1e-2]


def test_a_range_is_not_continued_to_where_the_key_takes_nothing():
    assert not widened([{DECAY: (0.0, 0.1, "linear")}], {DECAY: "low"})[1]
    assert not widened([{"optimizer.label_smoothing": (0.0, 0.9, "linear")}], {"optimizer.label_smoothing": "high"})[1]
