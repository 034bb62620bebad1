"""A phase change: one trace and one compile, fresh moments for what thaws, the rest goes on, the schedule too."""

import json
import time

import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

from tlj.freezing.optimizer import build_optimizer
from tlj.freezing.partition import split
from tlj.freezing.phases import Plateau
from tlj.freezing.schedules import SCHEDULES
from tlj.training import loop, stepping
from tlj.training.compiled import initial_state, run_keys, step_program, thawed_state
from tlj.training.initial import run_variables
from tlj.training.inputs import evaluation_inputs
from tlj.training.loop import Surroundings, train_run
from tlj.training.phase_record import PhaseRecord
from tlj.training.programs import Programs, count_compilations
from tlj.training.run_files import read_metrics

TRACES = "/jax/core/compile/jaxpr_trace_duration"
THAW, STEPS, RATE, DECAY = 6, 12, 0.01, 0.1
PLAIN = {
    "model": {"settings": {"dropout": 0.0, "stochastic_depth": 0.0}},
    "data": {"augment": {"shift": 0}},
    "steps": STEPS,
}


@pytest.fixture
def traced():
    """The names of the functions that JAX traces while a test runs."""
    names = []

    def listen(event, duration, **details):
        if event == TRACES:
            names.append(details.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(("strategy", "phases"), [("full", 1), ("lp_ft:6", 2), ("gradual:3", 4)])
def test_a_run_traces_and_compiles_one_step_per_phase(transfer, traced, tmp_path, strategy, phases):
    setup = transfer("vit", strategy, {"steps": STEPS, "log": {"every": 2}, "evaluate": {"every": 4}})
    with count_compilations() as compiled:
        train_run(setup, tmp_path, "hash", Surroundings(Programs()))
    assert len(setup.phases) == phases
    assert traced.count("train_step") == phases
    assert compiled["train_step"] == phases
    assert traced.count("evaluate_step") == compiled["evaluate_step"] == 1


def test_a_second_run_of_the_same_phases_traces_nothing(transfer, traced, programs, tmp_path):
    for seed in (0, 1):
        traced.clear()
        setup = transfer("vit", f"lp_ft:{THAW}", {"steps": STEPS, "seed": seed})
        summary = train_run(setup, tmp_path / str(seed), "hash", Surroundings(programs))
    assert traced.count("train_step") == 0
    assert summary["timing"]["compile_s_by_phase"] == {"0": 0.0, "1": 0.0}


def test_compile_time_is_told_by_phase_and_is_no_part_of_step_time(transfer, tmp_path, monkeypatch):
    slow = 1.5
    lower = stepping.step_program

    def slowly(*arguments):
        time.sleep(slow)
        return lower(*arguments)

    monkeypatch.setattr(stepping, "step_program", slowly)
    setup = transfer("vit", "lp_ft:40", {"steps": 80, "log": {"every": 20}})
    timing = train_run(setup, tmp_path, "hash", Surroundings(Programs()))["timing"]
    by_phase = timing["compile_s_by_phase"]
    assert by_phase.keys() == {"0", "1"}
    assert min(by_phase.values()) > 0
    assert timing["compile_s"] == pytest.approx(sum(by_phase.values()))
    assert timing["wall_s"] > timing["compile_s"] + 2 * slow
    # Eighty tiny steps take far less than either wait.
    assert timing["train_s"] < slow
    assert max(timing["step_s_by_phase"]) < slow / 20


@pytest.fixture(scope="module")
def at_the_thaw(from_scratch, programs):
    """The setup, the state at the end of a probe, the state at the thaw, that after one more step, and its batch."""
    setup = from_scratch("vit", {"strategy": f"lp_ft:{THAW}", "init": "scratch"}, PLAIN)
    variables, _ = run_variables(setup.init, setup.spec, setup.pretrained, 0)
    probe, everything = setup.phases
    state = initial_state(setup, probe, variables, programs)
    batches = [setup.source.batch(setup.split.train[8 * (i % 4) :][:8]) for i in range(THAW + 1)]
    for batch in batches[:THAW]:
        state, _ = step_program(setup, probe, programs)[0].call(state, batch, run_keys(0))
    ended = jax.device_get(state)
    state = thawed_state(setup, probe, everything, state, programs)
    thawed = jax.device_get(state)
    state, metrics = step_program(setup, everything, programs)[0].call(state, batches[THAW], run_keys(0))
    return setup, ended, thawed, jax.device_get(state), batches[THAW], metrics


def moments_of(state, group):
    """The count, the first and the second moments of a group's Adam."""
    inner = state.opt_state[1].inner_states[group].inner_state[0]
    flat = [traverse_util.flatten_dict(tree, sep="/") for tree in (inner.mu, inner.nu)]
    return int(inner.count), *({p: leaf for p, leaf in tree.items() if isinstance(leaf, np.ndarray)} for tree in flat)


def gradients_by_hand(setup, params, batch):
    """The gradient of the cross entropy with respect to everything, clipped by the norm of all of it."""

    def loss_of(params):
        logits = setup.module.apply({"params": params}, evaluation_inputs(batch, setup.preprocessing))
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    gradients = jax.jit(jax.grad(loss_of))(params)
    clip = setup.settings.clip_norm
    return optax.clip_by_global_norm(clip).update(gradients, optax.EmptyState())[0], float(optax.tree.norm(gradients))


def rate_at(step):
    """The configured schedule, by hand: two steps of warm-up, then a cosine to zero at the end."""
    warm = min((step + 1) / 2, 1.0)
    return RATE * warm * 0.5 * (1 + np.cos(np.pi * max(step - 2, 0) / (STEPS - 2)))


def test_a_thaw_changes_no_parameter_and_no_step_and_keeps_the_moments_of_what_trained(at_the_thaw):
    _, ended, thawed, _, _, _ = at_the_thaw
    assert int(thawed.step) == int(ended.step) == THAW
    jax.tree.map(np.testing.assert_array_equal, thawed.params, ended.params)
    (old_count, *old), (count, *kept) = moments_of(ended, "head"), moments_of(thawed, "head")
    assert old_count == count == THAW
    for before, after in zip(old, kept, strict=True):
        assert before.keys() == after.keys() == {"head/kernel", "head/bias"}
        assert all(before[path].tobytes() == after[path].tobytes() for path in before)
        assert all(np.any(leaf != 0) for leaf in before.values())
    count, first, second = moments_of(thawed, "backbone")
    assert count == 0
    assert len(first) == len(second) == len(traverse_util.flatten_dict(thawed.params["backbone"]))
    assert all(not leaf.any() for leaf in [*first.values(), *second.values()])


def test_the_first_update_of_what_thaws_is_that_of_a_fresh_optimizer_at_the_rate_of_the_global_step(at_the_thaw):
    setup, _, thawed, after, batch, metrics = at_the_thaw
    gradients, norm = gradients_by_hand(setup, thawed.params, batch)
    assert float(metrics["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
    assert norm > setup.settings.clip_norm
    decayed = traverse_util.path_aware_map(lambda path, _: path[-1] == "kernel", thawed.params["backbone"])
    fresh = optax.adamw(rate_at(THAW), weight_decay=DECAY, mask=decayed)
    backbone = thawed.params["backbone"]
    updates, _ = fresh.update(gradients["backbone"], fresh.init(backbone), backbone)
    expected = traverse_util.flatten_dict(optax.apply_updates(backbone, updates), sep="/")
    found, before = (traverse_util.flatten_dict(state.params["backbone"], sep="/") for state in (after, thawed))
    moved = traverse_util.flatten_dict(gradients["backbone"], sep="/")
    for path in expected:
        # The first update of Adam is the sign of the gradient, which rounding decides where there is next to none.
        clear = np.abs(moved[path]) > 1e-6
        np.testing.assert_allclose(found[path][clear], np.asarray(expected[path])[clear], atol=2e-5)
        assert np.abs(found[path] - before[path]).max() < 1.2 * rate_at(THAW)
    steps = np.concatenate([(found[path] - before[path])[np.abs(moved[path]) > 1e-4] for path in expected])
    assert np.median(np.abs(steps)) == pytest.approx(rate_at(THAW), rel=0.02)


def test_what_trained_before_goes_on_as_if_nothing_had_thawed(at_the_thaw):
    setup, ended, thawed, after, batch, _ = at_the_thaw
    gradients, _ = gradients_by_hand(setup, thawed.params, batch)
    count, first, second = moments_of(ended, "head")
    continued = optax.adamw(rate_at(THAW), weight_decay=DECAY, mask={"kernel": True, "bias": False})
    adam, *rest = continued.init(thawed.params["head"])
    nested = [{path.removeprefix("head/"): leaf for path, leaf in tree.items()} for tree in (first, second)]
    state = (adam._replace(count=np.int32(count), mu=nested[0], nu=nested[1]), *rest)
    updates, _ = continued.update(gradients["head"], state, thawed.params["head"])
    for name, expected in optax.apply_updates(thawed.params["head"], updates).items():
        np.testing.assert_allclose(after.params["head"][name], expected, atol=2e-6)
    assert moments_of(after, "head")[0] == THAW + 1
    assert moments_of(after, "backbone")[0] == 1


def test_the_update_of_what_trained_before_is_bit_equal_to_that_of_its_old_optimizer(at_the_thaw):
    setup, ended, thawed, _, batch, _ = at_the_thaw
    gradients, _ = gradients_by_hand(setup, thawed.params, batch)
    updates = []
    for phase, state in zip(setup.phases, (ended, thawed), strict=True):
        # Without the clip, whose norm is over more once more trains.
        optimizer = build_optimizer(state.params, phase, clip_norm=0.0)
        kept = (state.opt_state[0].__class__(), state.opt_state[1])
        update, _ = optimizer.update(
            split(gradients, phase)[0],
            kept,
            split(state.params, phase)[0],
            step=np.int32(THAW),
            hyperparameters=state.hyperparameters,
        )
        updates.append(update["head"])
    jax.tree.map(np.testing.assert_array_equal, *updates)


@pytest.mark.parametrize(
    ("strategy", "schedule"), [("gradual:3", "cosine"), ("lp_ft:6", "linear"), ("lp_ft:6", "slanted_triangular")]
)
def test_the_schedule_does_not_restart(transfer, programs, tmp_path, strategy, schedule):
    changes = {"steps": STEPS, "log": {"every": 1}, "optimizer": {"schedule": schedule}}
    train_run(transfer("vit", strategy, changes), tmp_path, "hash", Surroundings(programs))
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert len({row["phase"] for row in rows}) == (2 if strategy.startswith("lp_ft") else 4)
    for row in rows:
        # A row is written after its step, whose number counts from 0.
        expected = RATE * float(SCHEDULES[schedule](np.float32(row["step"] - 1), np.float32(STEPS), np.float32(2)))
        assert list(row["learning_rate"].values()) == pytest.approx([expected] * len(row["learning_rate"]), rel=1e-5)
        if schedule == "cosine":
            assert expected == pytest.approx(rate_at(row["step"] - 1), rel=1e-4, abs=1e-8)
    assert len(rows[-1]["learning_rate"]) > len(rows[0]["learning_rate"])


@pytest.mark.parametrize(
    ("losses", "over_at"),
    [
        ([3, 2, 1, 0.5, 0.4], None),
        ([3, 2, 2, 2], 4),
        ([3, 4, 2.8, 4, 4], 5),
        ([3, float("nan"), float("nan")], 3),
        ([3, 2.95, 2.9], 3),  # lower, but not by min_delta
        ([3, 2.95, 2.8, 2.75, 2.7], 5),
    ],
)
def test_a_plateau_is_so_many_validations_in_a_row_without_a_lower_loss(losses, over_at):
    record, found = PhaseRecord({}), None
    for count, loss in enumerate(losses, 1):
        record.observe(loss, min_delta=0.1)
        if found is None and record.is_over(Plateau(patience=2, min_delta=0.1), step=count):
            found = count
    assert found == over_at


@pytest.mark.parametrize(
    ("strategy", "losses", "starts"),
    [
        ("lp_ft:plateau", [3, 2, 2.5, 2.2, 1, 1], [0, 8]),
        ("lp_ft:plateau", [3, 2.9, 2.8, 2.7, 2.6, 2.5], [0]),
        # After a thaw the count begins anew: the first loss of a phase is the lowest of that phase.
        ("gradual:plateau", [3, 3, 3, 5, 4, 4, 4, 1, 0.5], [0, 6, 14]),
        ("gradual:plateau", [1, 2, 2, 9, 9, 9, 9, 9, 9, 9, 9, 9], [0, 6, 12, 18]),
    ],
)
def test_a_phase_that_waits_for_a_plateau_starts_when_the_rule_says(
    transfer, programs, tmp_path, monkeypatch, strategy, losses, starts
):
    # The run also validates after its last step.
    scripted = iter([*losses, losses[-1]])
    monkeypatch.setattr(
        loop, "validate", lambda *_: {"validation_loss": float(next(scripted)), "validation_accuracy": 0.5}
    )
    steps = 2 * len(losses) + 1
    changes = {"steps": steps, "evaluate": {"every": 2}, "plateau": {"patience": 2}, "log": {"every": 1}}
    summary = train_run(transfer("vit", strategy, changes), tmp_path, "hash", Surroundings(programs))
    assert [phase["start"] for phase in summary["phases"]] == starts
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    assert [row["phase"] for row in rows] == [sum(start < row["step"] for start in starts) - 1 for row in rows]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["phases"][1]["start"] is None
    assert "plateau" in manifest["phases"][1]["start_rule"]
