import pytest

from tlj.benchmark.topology.facts import TooLarge
from tlj.benchmark.topology.largest_batch import MOST_TIMES, largest_batch

USABLE = 15.75 * 2**30
# (15.75 GiB - 1 GiB) / 100 MiB
EXACT = 151


@pytest.mark.parametrize("batch", [16, 128, 144, 512])
def test_a_line_through_two_batches_finds_the_largest_multiple_of_eight_and_proves_it(program, batch):
    asked = []

    def ask(size):
        asked.append(size)
        return program(size)

    found = largest_batch(ask, batch, program(batch), USABLE)
    assert found.batch == EXACT // 8 * 8 == 144
    assert found.is_proved
    assert not found.is_capped
    # Nobody waits for more than two compilations beside the one of the plan itself.
    assert len(asked) <= 2
    assert found.compiled == (batch, *asked)


def test_a_refused_estimate_is_followed_by_a_smaller_one(program):
    """The memory of a compiler is not quite a line: here all above 120 needs 2 GiB more."""

    def ask(size):
        answer = program(size)
        return answer if size <= 120 else TooLarge(2**31 + 2**30 + 100 * 2**20 * size, USABLE)

    found = largest_batch(ask, 64, ask(64), USABLE)
    assert 112 <= found.batch <= 120
    assert found.is_proved
    assert 144 in found.compiled


def test_the_guess_of_another_slice_is_looked_at_first(program):
    found = largest_batch(program, 32, program(32), USABLE, guess=144)
    assert (found.batch, found.compiled) == (144, (32, 144))


def test_where_not_even_one_example_fits_there_is_no_batch():
    found = largest_batch(lambda size: TooLarge(1e12 + size, USABLE), 8, TooLarge(1e12 + 8, USABLE), USABLE)
    assert (found.batch, found.is_proved) == (0, False)


def test_a_small_model_is_not_driven_to_batches_that_nobody_asked_for(program):
    found = largest_batch(lambda size: program(size, usable=1e15), 2, program(2), 1e15)
    assert (found.batch, found.is_capped) == (2 * MOST_TIMES, True)


def test_batches_divide_into_the_parts_that_they_are_computed_in(program):
    found = largest_batch(program, 24, program(24), USABLE, multiple=3)
    assert found.batch == EXACT // 24 * 24
    assert all(size % 3 == 0 for size in found.compiled)
