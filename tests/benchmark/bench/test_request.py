"""What is asked for is read before anything is measured."""

import pytest

from tlj.benchmark.bench.request import parse_counts, parse_strategies, setups_by_batch, with_batch
from tlj.errors import InputError


def test_strategies_are_the_ones_given_or_the_configs_own_and_full():
    assert parse_strategies("linear_probe, full,linear_probe", "scratch") == ("linear_probe", "full")
    assert parse_strategies(None, "last_blocks:1") == ("last_blocks:1", "full")
    assert parse_strategies(None, "full") == ("full",)


def test_counts_are_whole_numbers_each_once_in_the_order_given():
    assert parse_counts("8, 2,8", "--batches") == (8, 2)
    assert parse_counts(None, "--batches") == ()


@pytest.mark.parametrize("text", ["", " , ", "0", "2,-1", "1.5", "many", "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(InputError, match="^--scaling: .* is not a list of whole numbers of at least 1; write for"):
        parse_counts(text, "--scaling")


def test_a_batch_that_is_asked_for_is_the_global_one(tiny_config):
    config = with_batch(tiny_config("w", parallel={"batch_per_device": 4}), 48)
    assert (config.global_batch_size, config.parallel.batch_per_device) == (48, 0)
    assert set(setups_by_batch(tiny_config("w"), "full", ())) == {16}
    by_batch = setups_by_batch(tiny_config("w"), "full", (8, 48))
    assert [by_batch[batch]["full"].config["global_batch_size"] for batch in by_batch] == [8, 48]


def test_a_batch_that_cannot_be_is_an_error_of_the_flag(tiny_config, monkeypatch):
    def refuse(*arguments, **options):
        raise InputError("a batch of 9 does not divide over 2 devices", where="config.global_batch_size", do="change")

    monkeypatch.setattr("tlj.training.setup.make_mesh", refuse)
    with pytest.raises(InputError, match="^--batches: a batch of 9 does not divide"):
        setups_by_batch(tiny_config("w"), "full", (9,))
