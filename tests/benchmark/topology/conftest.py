import pytest

from tlj.benchmark.topology.facts import Facts, TooLarge
from tlj.benchmark.topology.slices import parse_slices

MIB = 2**20


@pytest.fixture(scope="session")
def chips():
    """A slice by name."""

    def make(name="v5e:4x4"):
        (found,) = parse_slices(name)
        return found

    return make


@pytest.fixture(scope="session")
def program():
    """What a compiler says of a step that takes 1 GiB and 100 MiB per example: ``program(batch, flops=1e12)``."""

    def make(batch, usable=15.75 * 2**30, **changes):
        needed = 1024 * MIB + 100 * MIB * batch
        if needed > usable:
            return TooLarge(needed, usable)
        facts = {
            "flops": 1e11 * batch,
            "bytes": 1e9 * batch,
            "all_reduce_bytes": 200_000_000,
            "sent_bytes": 375_000_000.0,
            "argument_bytes": 1000 * MIB + 0 * batch,
            "output_bytes": 4 * MIB,
            "temporary_bytes": 100 * MIB * batch,
            "code_bytes": 20 * MIB,
        }
        return Facts(**{**facts, **changes})

    return make
