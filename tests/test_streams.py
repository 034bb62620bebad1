"""Named random streams."""

import jax
import numpy as np
import pytest

from tlj.streams import STREAMS, generator, key
from tlj.training.programs import count_compilations


def bits(seed: int, name: str) -> tuple[int, ...]:
    return tuple(jax.random.key_data(key(seed, name)).tolist())


def draws(*position: int) -> list[int]:
    return generator(0, "data", *position).integers(0, 2**60, 4).tolist()


def test_streams_and_seeds_do_not_share_a_key():
    assert len({bits(seed, name) for seed in range(50) for name in STREAMS}) == 50 * len(STREAMS)


def test_a_stream_is_a_function_of_seed_and_name_alone():
    before = bits(3, "head_init")
    generator(3, "backbone_init").normal(size=1000)
    np.random.default_rng(3).normal(size=10)
    assert bits(3, "head_init") == before


def test_streams_do_not_change_between_releases():
    assert bits(0, "data") == (890424286, 747786186)
    assert generator(0, "data", 2, 1).permutation(8).tolist() == [2, 7, 3, 4, 5, 0, 1, 6]


def test_key_does_not_depend_on_the_default_generator_of_jax():
    usual = bits(0, "augment")
    with jax.default_prng_impl("rbg"):
        assert bits(0, "augment") == usual
        assert str(jax.random.key_impl(key(0, "augment"))) == "threefry2x32"


def test_another_generator_has_keys_of_its_own_that_repeat():
    first, again, other = (key(seed, "dropout", "rbg") for seed in (0, 0, 1))
    assert str(jax.random.key_impl(first)) == "rbg"
    data = [tuple(jax.random.key_data(each).tolist()) for each in (first, again, other)]
    assert data[0] == data[1] != data[2]
    # All four words count: the generator counts on from the last two.
    assert len(set(data[0])) == 4
    assert np.array_equal(*(jax.random.bits(each, (5,)) for each in (first, again)))


def test_key_compiles_nothing():
    with count_compilations() as compilations:
        key(123, "dropout")
    assert not compilations


def test_unknown_stream_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match="'head'.*head_init"):
        key(0, "head")
    with pytest.raises(ValueError, match="unknown random stream"):
        generator(0, "validation")


def test_epochs_of_a_generator_differ():
    assert len({tuple(draws(2, epoch)) for epoch in range(100)}) == 100


def test_generator_repeats_itself():
    assert draws(2, 5) == draws(2, 5)


def test_position_zero_is_a_substream_of_its_own():
    assert draws() != draws(0)
