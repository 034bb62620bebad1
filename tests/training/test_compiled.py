import jax
import numpy as np
import pytest

from tlj.freezing.phases import FROZEN
from tlj.pretrained.initialise import initial_variables
from tlj.training.compiled import abstract_state, initial_state, run_keys, step_program, thawed_state
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
        {"optimizer": {"learning_rate": 0.5, "weight_decay": 0.0, "warmup": "1 step"}},
        {"strategy": "full", "init": "scratch"},
        {
            "groups": {
                "head": {"learning_rate_factor": 9.0, "weight_decay": 0.0, "warmup": "1 epoch", "schedule_steps": 5}
            }
        },
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
        {"groups": {"head": {"optimizer": "lion"}}},
        {"groups": {"head": {"decays": "all"}}},
        {"optimizer": {"label_smoothing": 0.1}},
        {"data": {"augment": {"shift": 0}}},
        {"dtype": "bfloat16"},
        {"prng": "rbg"},
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
        program, _ = step_program(setup, phase, programs)
        state, metrics = program.call(state, setup.source.batch(np.arange(16)), run_keys(0))
        losses[dtype] = float(metrics["loss"])
        assert {leaf.dtype for leaf in state.params["head"].values()} == {np.dtype("float32")}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)


def test_a_thaw_copies_no_parameter_and_is_on_the_shardings_of_the_next_phase(tiny_run):
    setup, programs = tiny_run(strategy="lp_ft:5", init="scratch"), Programs()
    old, new = setup.phases
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    state = initial_state(setup, old, variables, programs)
    state, _ = step_program(setup, old, programs)[0].call(state, setup.source.batch(np.arange(16)), run_keys(0))
    thawed = thawed_state(setup, old, new, state, programs)
    for ours, wanted in zip(jax.tree.leaves(thawed), jax.tree.leaves(abstract_state(setup, new)), strict=True):
        assert (ours.shape, ours.dtype, ours.sharding) == (wanted.shape, wanted.dtype, wanted.sharding)
    for ours, theirs in zip(jax.tree.leaves(thawed.params), jax.tree.leaves(state.params), strict=True):
        assert ours is theirs
    moved, _ = step_program(setup, new, programs)[0].call(thawed, setup.source.batch(np.arange(16)), run_keys(0))
    assert int(moved.step) == 2
    assert old.label_of["backbone/block0/mlp/up/kernel"] == FROZEN
    up = [tree["backbone"]["block0"]["mlp"]["up"]["kernel"] for tree in (moved.params, variables["params"])]
    assert not np.array_equal(*up)


def test_what_is_drawn_follows_from_the_seed_with_any_generator(tiny_run):
    programs, losses = Programs(), {}
    for prng in ("threefry2x32", "rbg"):
        setup = tiny_run(prng=prng)
        phase = setup.phases[0]
        for name, seed in (("first", 0), ("again", 0), ("other", 1)):
            state = initial_state(setup, phase, initial_variables("scratch", setup.spec, None, 0)[0], programs)
            program, _ = step_program(setup, phase, programs)
            _, metrics = program.call(state, setup.source.batch(np.arange(16)), run_keys(seed, prng))
            losses[prng, name] = float(metrics["loss"])
        assert losses[prng, "first"] == losses[prng, "again"] != losses[prng, "other"]
    assert losses["rbg", "first"] != losses["threefry2x32", "first"]
    assert losses["rbg", "first"] == pytest.approx(losses["threefry2x32", "first"], rel=0.1)
