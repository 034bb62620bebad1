import types

import pytest

from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.initial import start_variables
from tlj.training.programs import Programs
from tlj.training.summary import state_digests
from tlj.training.together.program import batches_sharding, together_program
from tlj.training.together.stack import Commons, Joining, stacked

RUNS = 4


@pytest.fixture(scope="module")
def probe(tiny_run):
    return tiny_run(strategy="linear_probe", init="scratch", global_batch_size=32, data={"augment": {"shift": 0}})


def test_what_is_frozen_is_computed_once_for_runs_that_share_their_batch(probe):
    programs, (phase,) = Programs(), probe.phases
    asked = types.SimpleNamespace(setup=probe, phase=phase)
    state = initial_state(probe, phase, start_variables(probe)[0], programs)
    joining = [Joining(state, state_digests(state), run_keys(0), 0, given=False)] * RUNS
    stack = stacked(joining, phase, 0, Commons(), RUNS)
    together, compiled = together_program(asked, stack, programs, probe.batches[0], 1, shared=True)
    alone, _ = step_program(probe, phase, programs)
    assert compiled
    # The backbone is nearly all of a step, and is there once for all of them.
    assert together.flops < 1.5 * alone.flops
    assert together_program(asked, stack, programs, probe.batches[0], 1, shared=True) == (together, False)


@pytest.mark.parametrize(("calls", "shared", "axes"), [(1, True, 0), (1, False, 1), (3, True, 1), (3, False, 2)])
def test_examples_are_divided_over_the_devices_and_steps_and_runs_are_not(probe, calls, shared, axes):
    spec = batches_sharding(types.SimpleNamespace(setup=probe), calls, shared).spec
    assert tuple(spec) == (*[None] * axes, ("data", "fsdp"))
