"""L2-SP is half a squared distance, from the start for what was loaded and from zero for the rest."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from tlj.freezing.phases import FROZEN, Group, Layout, make_phase
from tlj.freezing.regulariser import L2SP, parse_l2_sp, penalty, starting_point

DEPTHS = {"backbone/embedding/kernel": 0, "backbone/block0/kernel": 1, "backbone/block1/kernel": 2, "head/kernel": 3}
LABELS = {path: "head" if depth == 3 else "backbone" if depth else FROZEN for path, depth in DEPTHS.items()}
PHASE = make_phase(LABELS, [Group("backbone"), Group("head")], Layout(DEPTHS, blocks=2))
# Block 1 was drawn anew, as `copy_train:1` does.
SETTINGS = L2SP(alpha=0.3, beta=0.02, loaded=("backbone/block0/kernel", "backbone/embedding/kernel"))


def tree(seed: int, *absent: str):
    rng = np.random.default_rng(seed)
    flat = {path: rng.normal(size=(3, 2)).astype(np.float32) for path in DEPTHS}
    return traverse_util.unflatten_dict({p: None if p in absent else x for p, x in flat.items()}, sep="/")


START, NOW = tree(0), tree(1, "backbone/embedding/kernel")


def test_the_starting_point_is_what_trains_and_was_loaded():
    start = starting_point(START, PHASE, SETTINGS)
    flat = traverse_util.flatten_dict(start, sep="/")
    assert {path for path, leaf in flat.items() if leaf is not None} == {"backbone/block0/kernel"}
    assert flat["backbone/block0/kernel"] is START["backbone"]["block0"]["kernel"]
    assert flat.keys() == DEPTHS.keys()


def test_the_penalty_is_that_of_the_paper_recomputed_with_numpy():
    start = starting_point(START, PHASE, SETTINGS)
    moved = NOW["backbone"]["block0"]["kernel"].astype(np.float64) - START["backbone"]["block0"]["kernel"]
    new = [NOW["backbone"]["block1"]["kernel"].astype(np.float64), NOW["head"]["kernel"].astype(np.float64)]
    expected = 0.3 / 2 * np.sum(moved**2) + 0.02 / 2 * sum(np.sum(leaf**2) for leaf in new)
    found = jax.jit(lambda trainable, start: penalty(SETTINGS, trainable, start))(NOW, start)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert (found.dtype, found.shape) == (np.float32, ())


def test_its_gradient_pulls_what_was_loaded_to_its_start_and_the_rest_to_zero():
    start = starting_point(START, PHASE, SETTINGS)
    gradient = jax.grad(lambda trainable: penalty(SETTINGS, trainable, start))(NOW)
    moved = NOW["backbone"]["block0"]["kernel"] - START["backbone"]["block0"]["kernel"]
    np.testing.assert_allclose(gradient["backbone"]["block0"]["kernel"], 0.3 * moved, rtol=1e-5)
    np.testing.assert_allclose(
        gradient["backbone"]["block1"]["kernel"], 0.02 * NOW["backbone"]["block1"]["kernel"], rtol=1e-5
    )
    np.testing.assert_allclose(gradient["head"]["kernel"], 0.02 * NOW["head"]["kernel"], rtol=1e-5)
    assert gradient["backbone"]["embedding"]["kernel"] is None


def test_at_the_start_what_was_loaded_costs_nothing():
    trainable = tree(0, "backbone/embedding/kernel")
    only_loaded = L2SP(alpha=5.0, beta=0.0, loaded=SETTINGS.loaded)
    assert float(penalty(only_loaded, trainable, starting_point(START, PHASE, only_loaded))) == 0.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], (0.1, 0.01)), (["0.5"], (0.5, 0.01)), (["0.5", "2e-3"], (0.5, 0.002)), (["0", "0"], (0.0, 0.0))],
)
def test_alpha_and_beta_are_those_of_the_paper_unless_they_are_given(arguments, expected):
    assert parse_l2_sp(arguments, where="config.strategy") == expected


@pytest.mark.parametrize("arguments", [["a"], ["-1"], ["inf"], ["nan"], ["0.1", "x"], ["0.1", "0.1", "0.1"], [""]])
def test_what_is_no_strength_is_refused_with_an_example(refusal, arguments):
    error = refusal(parse_l2_sp, arguments, where="config.arms[2]")
    assert error.what == f"'l2_sp:{':'.join(arguments)}' does not give alpha and beta"
    assert (error.where, error.do) == ("config.arms[2]", "write 'l2_sp:0.1:0.01'")
