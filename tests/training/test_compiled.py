import numpy as np
import pytest

from tlj.pretrained.initialise import initial_variables
from tlj.training.compiled import abstract_state, initial_state, step_program
from tlj.training.programs import Programs, count_compilations


@pytest.fixture(scope="module")
def programs(tiny_run):
    shared = Programs()
    setup = tiny_run()
    step_program(setup, setup.phases[0], shared)
    return shared


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"label_budget": 100},
        {"steps": 999},
        {"optimizer": {"learning_rate": 0.5, "weight_decay": 0.0, "warmup_steps": 1}},
        {"strategy": "full", "init": "scratch"},
        {"evaluate": {"every": 1}, "log": {"every": 1}, "checkpoint": {"every": 1}},
    ],
)
def test_a_step_is_not_compiled_again_for(tiny_run, programs, changes):
    setup = tiny_run(**changes)
    with count_compilations() as compiled:
        _, compiled_here = step_program(setup, setup.phases[0], programs)
    assert not compiled_here
    assert compiled["train_step"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "linear_probe", "init": "scratch"},
        {"global_batch_size": 32},
        {"optimizer": {"schedule": "linear"}},
        {"optimizer": {"label_smoothing": 0.1}},
        {"data": {"augment": {"shift": 0}}},
        {"dtype": "bfloat16"},
    ],
)
def test_what_is_compiled_into_a_step_gives_another_program(tiny_run, programs, changes):
    setup = tiny_run(**changes)
    _, compiled_here = step_program(setup, setup.phases[0], programs)
    assert compiled_here


def test_the_state_is_created_on_its_shardings_and_leaves_what_it_was_made_from(tiny_run):
    setup = tiny_run()
    phase = setup.phases[0]
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    before = np.array(variables["params"]["head"]["kernel"])
    programs = Programs()
    state = initial_state(setup, phase, variables, programs)
    assert state.params["head"]["kernel"].sharding == abstract_state(setup, phase).params["head"]["kernel"].sharding
    program, _ = step_program(setup, phase, programs)
    batch = setup.source.batch(np.arange(16))
    from tlj.training.compiled import run_keys

    moved, _ = program.call(state, batch, run_keys(0))
    assert state.params["head"]["kernel"].is_deleted()
    np.testing.assert_array_equal(variables["params"]["head"]["kernel"], before)
    assert not np.array_equal(moved.params["head"]["kernel"], before)


def test_bfloat16_compute_keeps_float32_parameters_and_near_losses(tiny_run):
    losses = {}
    for dtype in ("float32", "bfloat16"):
        setup = tiny_run(dtype=dtype, model={"settings": {"dropout": 0.0}})
        phase, programs = setup.phases[0], Programs()
        variables, _ = initial_variables("scratch", setup.spec, None, 0)
        state = initial_state(setup, phase, variables, programs)
        from tlj.training.compiled import run_keys

        program, _ = step_program(setup, phase, programs)
        state, metrics = program.call(state, setup.source.batch(np.arange(16)), run_keys(0))
        losses[dtype] = float(metrics["loss"])
        assert {leaf.dtype for leaf in state.params["head"].values()} == {np.dtype("float32")}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)
