import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from tlj.freezing.phases import Group, Layout, make_phase
from tlj.training.compiled import run_keys
from tlj.training.parallel import make_mesh
from tlj.training.summary import state_digests
from tlj.training.together import stack
from tlj.training.together.stack import Commons, Joining, places_for, stacked, with_runs

PHASE = make_phase(
    {"backbone/kernel": "frozen", "head": "head"}, [Group("head")], Layout({"backbone/kernel": 1, "head": 2}, blocks=1)
)


@pytest.fixture
def joining(small_state):
    """Builds a run that joins at step 5, whose backbone follows from one seed and its keys from another."""
    mesh = make_mesh("jit", 1, {})

    def make(seed, rng_seed=0, **options):
        state = jax.device_put(small_state(5, seed), NamedSharding(mesh, PartitionSpec()))
        state = state.replace(params={**state.params, "head": state.params["head"] + seed})
        return Joining(state, state_digests(state), run_keys(rng_seed), **{"order": 0, "given": False, **options})

    return make


def assert_same_state(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("runs", "most", "places"), [(16, 16, 16), (9, 16, 16), (8, 16, 8), (1, 16, 1), (3, 5, 3), (2, 5, 2), (1, 1, 1)]
)
def test_a_program_is_for_the_most_runs_or_a_half_or_quarter_of_them(runs, most, places):
    assert places_for(runs, most) == places


def test_every_run_gets_its_own_state_back(joining):
    runs = [joining(seed) for seed in (0, 1, 2)]
    made = stacked(runs, PHASE, 5, Commons(), most=4)
    assert made.places == 4
    # Each has a backbone of its own, so nothing is common.
    assert made.common == {}
    for place, run in enumerate(runs):
        assert_same_state(made.state_of(place), run.state)


def test_what_is_frozen_and_the_same_for_all_is_there_once(joining):
    runs = [joining(3) for _ in range(2)]
    made = stacked(runs, PHASE, 5, Commons(), most=2)
    kernel = runs[0].state.params["backbone"]["kernel"]
    assert [leaf is kernel for leaf in made.common.values()] == [True]
    # The head is the same, too, but it trains.
    assert all(made.state_of(place).params["backbone"]["kernel"] is kernel for place in (0, 1))
    assert sum(leaf.nbytes for leaf in made.own) == 2 * (
        sum(leaf.nbytes for leaf in jax.tree.leaves(runs[0].state)) - kernel.nbytes
    )


def test_the_arrays_of_states_that_are_given_away_are_no_more_but_for_the_common_ones(joining):
    runs, commons = [joining(3, given=True), joining(3, given=True), joining(3)], Commons()
    made = stacked(runs, PHASE, 5, commons, most=4)
    first, second, third = (run.state.params for run in runs)
    assert not first["backbone"]["kernel"].is_deleted()
    assert second["backbone"]["kernel"].is_deleted()
    assert first["head"].is_deleted()
    assert not third["head"].is_deleted()
    # A phase later, what is common is part of a state that is given away again.
    again = [Joining(made.state_of(place), run.digests, run.rng, 0, given=True) for place, run in enumerate(runs)]
    stacked(again, PHASE, 5, commons, most=4)
    assert not first["backbone"]["kernel"].is_deleted()


def test_runs_of_one_seed_share_their_keys(joining):
    made = stacked([joining(0), joining(1)], PHASE, 5, Commons(), most=2)
    assert made.one_seed
    assert made.rng["dropout"].shape == ()
    made = stacked([joining(0, 1), joining(1, 2)], PHASE, 5, Commons(), most=4)
    assert (made.one_seed, made.one_order) == (False, True)
    assert not stacked([joining(0), joining(1, order=1)], PHASE, 5, Commons(), most=2).one_order
    for place, seed in enumerate((1, 2)):
        expected = jax.random.key_data(run_keys(seed)["dropout"])
        np.testing.assert_array_equal(jax.random.key_data(made.rng["dropout"][place]), expected)


def test_runs_lie_along_an_axis_that_is_not_divided():
    mesh = make_mesh("jit", 1, {})
    assert with_runs(NamedSharding(mesh, PartitionSpec("fsdp"))).spec == PartitionSpec(None, "fsdp")


def test_runs_that_begin_with_the_same_arrays_have_the_same_frozen_ones_from_the_start(joining, monkeypatch):
    first, second = joining(3), joining(3)
    start, digests = joining(3).state.params, first.digests
    commons = Commons()
    monkeypatch.setattr(stack, "is_read_once", lambda leaf: leaf is start["backbone"]["kernel"])
    commons.remember(commons.taken_up(first.state, start, PHASE), start, PHASE, digests)
    found = commons.taken_up(second.state, start, PHASE).params
    assert found["backbone"]["kernel"] is first.state.params["backbone"]["kernel"]
    assert found["head"] is second.state.params["head"]
    # Nothing is read of what is known.
    assert state_digests(second.state.replace(params=found), commons.digest_of) == digests
    assert commons.digest_of(found["backbone"]["kernel"]) == digests["backbone/kernel"]
    assert commons.digest_of(found["head"]) is None
    # Another start is another run's own.
    other = commons.taken_up(second.state, joining(3).state.params, PHASE).params
    assert other["backbone"]["kernel"] is second.state.params["backbone"]["kernel"]
