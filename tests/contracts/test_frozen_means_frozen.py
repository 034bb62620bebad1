"""Frozen means frozen: every strategy on every family, phase by phase, with everything on that could move a leaf."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.data.pipeline import training_batches
from tlj.errors import InputError
from tlj.freezing.digests import FrozenChangedError, check_phase_end
from tlj.freezing.phases import FROZEN
from tlj.freezing.strategies.registry import NAMES, parse_strategy
from tlj.training import stepping
from tlj.training.compiled import initial_state, run_keys, step_program, thawed_state
from tlj.training.initial import run_variables
from tlj.training.loop import Surroundings, train_run
from tlj.training.parallel import batch_sharding, put_batch
from tlj.training.summary import state_digests

PHASE = 50
STRATEGIES = {
    **dict.fromkeys(
        [
            "scratch",
            "full",
            "linear_probe",
            "last_blocks:1",
            "first_blocks:1",
            "blocks:0-0",
            "copy_freeze:1",
            "copy_train:1",
            "discriminative:0.5",
            "bias_only",
            "norm_only",
            "lora:2",
            "rules",
            "full+l2_sp:0.1:0.1",
            "last_blocks:1+l2_sp",
            "last_blocks:1+discriminative",
        ],
        PHASE,
    ),
    f"lp_ft:{PHASE}": 2 * PHASE,
    f"gradual:{PHASE}": 4 * PHASE,
    "freeze_out:0.6": 4 * PHASE,
}
RULES = ((r"head/.*", "head"), (r"backbone/block1/.*kernel", "kernels"), (r".*", FROZEN))
FAMILIES = ("vit", "resnet", "bert")
# A ResNet has no dense layer in its backbone that an adapter could stand beside.
CASES = [(f, s) for f in FAMILIES for s in STRATEGIES if (f, s) != ("resnet", "lora:2")]
FREEZING_NOTHING = ("scratch", "full", "copy_train", "discriminative")


def flat(tree) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(tree, sep="/")


def negative_zeros(tree):
    """The same values, in which zeros are negative: only a comparison of bits tells them from zeros."""
    return jax.tree.map(lambda leaf: np.where(np.asarray(leaf) == 0, np.float32(-0.0), leaf), tree)


@pytest.fixture(scope="module")
def walk(transfer, programs):
    """Trains as the training loop does; gives each phase, its state at its start and at its end, and its last loss."""

    @functools.cache
    def phases(family, strategy):
        changes = {"steps": STRATEGIES[strategy], "rules": RULES if strategy == "rules" else ()}
        setup = transfer(family, strategy, changes)
        settings = setup.settings
        variables, _ = run_variables(
            setup.init, setup.spec, setup.pretrained, 0, copied=setup.copied, adapters=settings.adapters
        )
        state = initial_state(setup, setup.phases[0], negative_zeros(variables), programs)
        batches = training_batches(setup.source, setup.split.train, batch_size=8, seed=0, steps=STRATEGIES[strategy])
        ends = [*(phase.start for phase in setup.phases[1:]), STRATEGIES[strategy]]
        walked = []
        for index, (phase, end) in enumerate(zip(setup.phases, ends, strict=True)):
            if index:
                state = thawed_state(setup, setup.phases[index - 1], phase, state, programs)
            start, metrics = jax.device_get(state), None
            program, _ = step_program(setup, phase, programs)
            for step in range(int(start.step), end):
                batch = put_batch(batches[step], batch_sharding(setup.mesh))
                state, metrics = program.call(state, batch, run_keys(0))
            walked.append((phase, start, jax.device_get(state), float(metrics["loss"])))
        return walked

    return phases


def test_every_strategy_is_among_the_cases():
    assert {parse_strategy(text).name for text in STRATEGIES} == set(NAMES)


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_frozen_parameters_are_bit_identical_from_the_start_of_a_phase_to_its_end(walk, family, strategy):
    some_frozen = False
    for phase, start, end, loss in walk(family, strategy):
        assert np.isfinite(loss)
        before, after = flat(start.params), flat(end.params)
        frozen = [path for path, label in phase.labels if label == FROZEN]
        for path in frozen:
            assert before[path].tobytes() == after[path].tobytes(), path
        some_frozen |= bool(frozen)
    assert some_frozen == (parse_strategy(strategy).name not in FREEZING_NOTHING)


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_every_leaf_that_should_train_has_moved_by_the_end_of_its_phase(walk, family, strategy):
    for phase, start, end, _ in walk(family, strategy):
        before, after = flat(start.params), flat(end.params)
        still = [path for path in phase.trained if before[path].tobytes() == after[path].tobytes()]
        assert phase.trained
        assert still == []


@pytest.mark.parametrize("strategy", [strategy for family, strategy in CASES if family == "resnet"])
def test_statistics_move_exactly_where_a_parameter_of_their_norm_trains(walk, strategy):
    for phase, start, end, _ in walk("resnet", strategy):
        before, after = flat(start.batch_stats), flat(end.batch_stats)
        assert before
        assert before.keys() == after.keys()
        moved = {path for path in before if before[path].tobytes() != after[path].tobytes()}
        norms = {path.rpartition("/")[0] for path in phase.trained if path.rpartition("/")[0].endswith("norm")}
        assert moved == {path for path in before if path.rpartition("/")[0] in norms}


@pytest.mark.parametrize("family", ["vit", "bert"])
def test_a_family_without_statistics_gets_none(walk, family):
    assert all(not end.batch_stats for _, _, end, _ in walk(family, "full"))


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_the_optimizer_holds_two_moments_of_what_trains_and_nothing_of_what_is_frozen(walk, family, strategy):
    for phase, start, end, _ in walk(family, strategy):
        shapes = {path: leaf.shape for path, leaf in flat(end.params).items()}
        for state in (start, end):
            held = jax.tree.leaves(state.opt_state)
            assert sorted(leaf.shape for leaf in held if leaf.ndim) == sorted(2 * [shapes[p] for p in phase.trained])
            # One count of steps per group, and no other scalar.
            assert len([leaf for leaf in held if not leaf.ndim]) == len(phase.groups)
        pulled = [leaf for leaf in jax.tree.leaves(end.origin) if leaf is not None]
        backbone = [path for path in phase.trained if path.startswith("backbone/")]
        assert len(pulled) == (len(backbone) if "l2_sp" in strategy else 0)


@pytest.mark.parametrize(("family", "strategy"), CASES)
def test_the_check_at_the_end_of_every_phase_passes_and_finds_a_flipped_sign(walk, family, strategy):
    for phase, start, end, _ in walk(family, strategy):
        before, after = state_digests(start), state_digests(end)
        assert check_phase_end(phase, before, after) == ()
        frozen = [path for path, label in phase.labels if label == FROZEN]
        for path in frozen[:1]:
            flipped = flat(end.params) | {path: -flat(end.params)[path]}
            changed = state_digests(end.replace(params=traverse_util.unflatten_dict(flipped, sep="/")))
            with pytest.raises(FrozenChangedError, match=path):
                check_phase_end(phase, before, changed)


def test_adapters_on_a_family_without_dense_layers_are_refused(transfer):
    with pytest.raises(InputError, match="lora adapts dense layers, and the backbone of this model has none"):
        transfer("resnet", "lora:2")


@pytest.fixture
def tamper(monkeypatch):
    """Makes a leaf of the state something else after a step of the training loop."""

    def arrange(tree, path, at, change):
        real = stepping.step_program

        def tampering(*arguments):
            program, compiled = real(*arguments)

            def call(state, batch, rng):
                before = jax.device_get(flat(getattr(state, tree))[path])
                state, metrics = program.call(state, batch, rng)
                if int(state.step) >= at:
                    leaves = flat(getattr(state, tree))
                    leaves[path] = jax.device_put(change(before, leaves[path]), leaves[path].sharding)
                    state = state.replace(**{tree: traverse_util.unflatten_dict(leaves, sep="/")})
                return state, metrics

            return dataclasses.replace(program, call=call), compiled

        monkeypatch.setattr(stepping, "step_program", tampering)

    return arrange


def nudged(before, after):
    """The smallest change there is, of one element."""
    changed = np.array(after)
    changed.flat[0] = np.nextafter(changed.flat[0], np.float32(np.inf))
    return changed


@pytest.mark.parametrize(
    ("family", "strategy", "tree", "path", "at"),
    [
        ("vit", "linear_probe", "params", "backbone/block0/mlp/up/kernel", 4),
        ("bert", "lora:2", "params", "backbone/block1/attention/query_key_value/kernel", 4),
        ("resnet", "last_blocks:1", "params", "backbone/block0/conv0/conv/kernel", 4),
        ("resnet", "last_blocks:1", "batch_stats", "backbone/block0/conv0/norm/var", 4),
        ("resnet", "linear_probe", "batch_stats", "backbone/embedding/norm/mean", 4),
        # Frozen in a later phase alone, and thawed after an earlier one.
        ("vit", "freeze_out:0.6", "params", "backbone/embedding/position", 4),
        ("vit", "lp_ft:3", "params", "backbone/embedding/position", 3),
    ],
)
def test_a_run_in_which_something_else_moves_what_is_frozen_fails(
    transfer, programs, tamper, tmp_path, family, strategy, tree, path, at
):
    tamper(tree, path, at, nudged)
    with pytest.raises(FrozenChangedError, match=path):
        train_run(transfer(family, strategy, {"steps": 5}), tmp_path, "hash", Surroundings(programs))
    assert (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "summary.json").exists()
    assert not (tmp_path / "predictions.parquet").exists()


def test_a_run_in_which_something_else_moves_what_trains_does_not_fail(transfer, programs, tamper, tmp_path):
    tamper("params", "head/kernel", 2, nudged)
    summary = train_run(transfer("vit", "linear_probe", {"steps": 5}), tmp_path, "hash", Surroundings(programs))
    assert summary["frozen_unchanged"]


def test_a_leaf_that_should_train_but_is_held_back_is_reported(transfer, programs, tamper, tmp_path, capsys):
    tamper("params", "head/bias", 1, lambda before, after: before)
    train_run(transfer("vit", "linear_probe", {"steps": 5}), tmp_path, "hash", Surroundings(programs))
    assert json.loads((tmp_path / "summary.json").read_text())["never_moved"] == ["head/bias"]
    assert "trained, but never moved: head/bias" in capsys.readouterr().err
