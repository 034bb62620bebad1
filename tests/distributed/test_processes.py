"""What programs ask of the processes that train together, in one process here; in several, see ``test_group.py``."""

import pytest

from tlj.distributed import Place, agree, barrier, end_together, is_main, join, process_count, process_index


def test_a_process_alone_is_the_main_one_and_waits_for_nobody():
    join(None)
    join(Place("localhost:8476", 1, 0))
    assert is_main()
    assert (process_index(), process_count()) == (0, 1)
    barrier("here")


@pytest.mark.parametrize(
    ("value", "agreed"), [((1, 2.5), [1, 2.5]), ({"a": None, 3: True}, {"a": None, "3": True}), ("ü", "ü")]
)
def test_a_value_is_the_same_alone_as_among_several(value, agreed):
    assert agree(value) == agreed


def test_a_value_that_could_not_be_sent_is_refused_alone_too():
    with pytest.raises(TypeError):
        agree(object())


def test_a_process_alone_ends_as_it_would_anyway():
    assert end_together(lambda: 3) == 3

    def fails():
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        end_together(fails)


def test_asking_who_this_is_starts_no_backend(processes):
    program = """
from tlj.distributed import agree, barrier, is_main
assert is_main() and agree(1) == 1
barrier("x")
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
"""
    ended = processes.start(script=program).wait()
    assert (ended.code, ended.stderr) == (0, "")
