import dataclasses

import pytest

from tlj.benchmark.topology.roofline import roofline


def test_the_longest_of_three_times_is_the_step_and_names_its_bound(chips, program):
    chip = chips("v5e:4x4").accelerator
    found = roofline(program(100), chip)
    assert found.compute_s == pytest.approx(1e13 / 197e12)
    assert found.memory_s == pytest.approx(1e11 / 819e9)
    assert found.interconnect_s == pytest.approx(375e6 / 200e9)
    assert (found.seconds, found.bound) == (found.memory_s, "memory")
    assert found.seconds_in_turn == pytest.approx(sum(dataclasses.astuple(found)))


@pytest.mark.parametrize(
    ("figure", "bound"), [("flops", "compute"), ("bytes", "memory"), ("sent_bytes", "interconnect")]
)
def test_each_limit_can_be_the_bound(chips, program, figure, bound):
    found = roofline(program(1, **{figure: 1e15}), chips("v6e:2x2").accelerator)
    assert found.bound == bound
    assert found.seconds == max(dataclasses.astuple(found))


def test_memory_is_arguments_outputs_temporaries_and_the_program(program):
    assert program(8).peak_bytes == (1024 + 800) * 2**20
